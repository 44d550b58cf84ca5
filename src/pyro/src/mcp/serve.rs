//! Transports, and the end: a host gives its servers a tenth of a second.

use super::args::ServeArgs;
use super::log;
use super::server::Server;
use super::session::Session;
use crate::config::Config;
use crate::error::UserError;
use crate::recipe::Found;
use rmcp::ServiceExt;
use rmcp::transport::io::stdio_pipes;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long calls may take to answer after there is nothing more to read: what a client that closes its
/// end at once has asked is answered, if it is quick.
const LAST_ANSWERS: Duration = Duration::from_millis(30);

/// How long calls that were cancelled may take to clean up behind them. What is left then, the next
/// command removes.
const CLEAN_UP: Duration = Duration::from_millis(20);

/// Where HTTP is served.
const HTTP_PATH: &str = "/mcp";

/// Serves until the client has gone, or `stop` is cancelled.
///
/// # Errors
/// When it was asked wrongly. A host that cannot run machines is no reason: calls say so.
pub fn serve(
    home: PathBuf,
    config: Config,
    args: ServeArgs,
    mode: Option<Found>,
    stop: &CancellationToken,
) -> Result<(), UserError> {
    if let Some(address) = args.http.filter(|address| !address.ip().is_loopback()) {
        return Err(UserError::usage(format_args!(
            "{address} is not a loopback address: whoever reaches the server can run commands"
        ))
        .hint("pyro mcp serve --http 127.0.0.1:8080"));
    }
    log::start(&home);
    let http_address = args.http;
    let session = Arc::new(Session::new(home, config, args, mode));
    let told = Arc::clone(&session);
    // It may ask git, and nobody waits for that who only wants to see the tools.
    std::thread::spawn(move || tracing::info!("serving {}; project source: {}", told.what(), told.source()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| UserError::new("runtime", error))?;
    let served = runtime.block_on(async {
        let server = Server::new(session, stop.child_token());
        match http_address {
            None => stdio(server, stop).await,
            Some(address) => http(server, address, stop).await,
        }
    });
    // Not waiting for what blocks: the process is about to end.
    runtime.shutdown_timeout(CLEAN_UP);
    tracing::info!("the end");
    served
}

async fn stdio(server: Server, stop: &CancellationToken) -> Result<(), UserError> {
    let (stdin, stdout) = stdio_pipes();
    let stdin = Watched { inner: stdin, end: stop.clone() };
    let running = tokio::select! {
        started = server.serve_with_ct((stdin, stdout), stop.clone()) => started,
        () = stop.cancelled() => return Ok(()),
    };
    match running {
        Ok(running) => drop(running.waiting().await),
        // It went away before it had said anything, or said something else.
        Err(error) => tracing::info!(%error, "no session"),
    }
    Ok(())
}

async fn http(server: Server, address: SocketAddr, stop: &CancellationToken) -> Result<(), UserError> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        UserError::new("http", format_args!("{address}: {error}")).hint("choose another port")
    })?;
    let listening = listener.local_addr().unwrap_or(address);
    tracing::info!("listening at http://{listening}{HTTP_PATH}");
    // Pages of other origins, and names that lead here by a trick, are refused.
    let config = StreamableHttpServerConfig::default()
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"])
        .with_cancellation_token(stop.clone());
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let router = axum::Router::new().route_service(HTTP_PATH, service);
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served.map_err(|error| UserError::new("http", error)),
        () = stop.cancelled() => Ok(()),
    }
}

/// Standard input, whose end stops the server soon: rmcp alone would wait five seconds for calls.
struct Watched<R> {
    inner: R,
    end: CancellationToken,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Poll::Ready(read) = &polled
            && (read.is_err() || buffer.filled().len() == before)
        {
            let end = self.end.clone();
            tokio::spawn(async move {
                tokio::time::sleep(LAST_ANSWERS).await;
                end.cancel();
            });
        }
        polled
    }
}
