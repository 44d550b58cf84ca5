{
  description = "pyro: disposable microVM workspaces for coding agents";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      manifest = builtins.fromTOML (builtins.readFile ./Cargo.toml);
      version = manifest.workspace.package.version;
      common = {
        inherit version;
        src = self;
        cargoLock.lockFile = ./Cargo.lock;
        meta = {
          description = "Disposable microVM workspaces for coding agents";
          license = pkgs.lib.licenses.asl20;
          platforms = [ system ];
          mainProgram = "pyro";
        };
      };

      # PID 1 of every guest: static, so from the musl package set.
      agent = pkgs.pkgsStatic.rustPlatform.buildRustPackage (common // {
        pname = "pyro-agent";
        buildType = "agent";
        cargoBuildFlags = [ "--package" "pyro-agent" ];
        doCheck = false; # tested as part of the workspace, by `make test`
      });

      pyro = pkgs.rustPlatform.buildRustPackage (common // {
        pname = "pyro";
        nativeBuildInputs = [ pkgs.makeWrapper ];
        PYRO_AGENT = "${agent}/bin/pyro-agent";
        cargoBuildFlags = [ "--package" "pyro" "--package" "pyro-machine" ];
        doCheck = false; # the tests boot guests, which a build sandbox has no device for
        # The guest kernel is loaded at run time.
        postInstall = ''
          wrapProgram $out/bin/pyro --set-default PYRO_LIBKRUNFW ${pkgs.libkrunfw}/lib/libkrunfw.so.5
        '';
      });
    in
    {
      packages.${system} = { inherit agent pyro; default = pyro; };

      apps.${system}.default = {
        type = "app";
        program = "${pyro}/bin/pyro";
      };

      devShells.${system}.default = pkgs.mkShell {
        packages = with pkgs; [ cargo cargo-deny cargo-nextest clippy gnumake rustc rustfmt skopeo umoci erofs-utils ];
        PYRO_LIBKRUNFW = "${pkgs.libkrunfw}/lib/libkrunfw.so.5";
      };
    };
}
