//! The protocol: what is asked, answered from the session.

use super::budget::clamp;
use super::progress::{Phase, report};
use super::resources;
use super::session::{Offered, Session};
use super::tool::{Answer, Call};
use crate::recipe;
use pyro_workspace::Cancel;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, GetPromptRequestParams,
    GetPromptResponse, GetPromptResult, Implementation, InitializeResult, JsonObject, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams, Prompt,
    PromptArgument, PromptMessage, ReadResourceRequestParams, ReadResourceResponse, Role, ServerCapabilities,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::json;
use std::sync::{Arc, LazyLock};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// How long clients may keep the list of tools: it never changes while a server lives.
const LIST_TTL_MS: u64 = 3_600_000;

/// What a model reads before it knows any tool, where no mode says it. Some clients search it for words,
/// and some show nothing else.
const INSTRUCTIONS: &str = "pyro gives you disposable sandbox workspaces: isolated Linux microVMs made from an OCI image with a copy of the user's project in /workspace. Nothing in them touches the host. Use them to run shell commands, tests and builds, to reproduce a bug, try a patch or look at untrusted code. Begin with workspace_create, run with workspace_exec, change files with workspace_patch_apply, show the work with workspace_diff, hand it over with workspace_export; workspace_reset starts afresh, workspace_delete throws it away.";

/// The same for the one tool of the smallest profile.
const INSTRUCTIONS_RUN: &str = "pyro runs one shell command in a fresh, isolated Linux microVM sandbox made from an OCI image, without network and without the user's files; then everything is gone. Use vm_run to try something that must not touch the host.";

/// What the prompt of a server without a mode says.
const PROMPT: &str = "Use the pyro tools for this task, in a disposable workspace: workspace_create, then workspace_exec to see how things are, workspace_patch_apply to change them, workspace_exec to prove it, workspace_diff to show it. Ask before you write to the host with workspace_export. Delete the workspace when it is no longer needed.\n\n{task}";

/// Answers one client.
#[derive(Clone)]
pub struct Server {
    session: Arc<Session>,
    /// Set when the server ends: calls are cancelled.
    ending: CancellationToken,
}

impl Server {
    /// Of this session; `ending` cancels what runs.
    pub const fn new(session: Arc<Session>, ending: CancellationToken) -> Self {
        Self { session, ending }
    }

    /// Does something that blocks, on a thread of its own, until the client or the server has had enough.
    async fn blocking<T: Send + 'static>(
        &self,
        context: &RequestContext<RoleServer>,
        work: impl FnOnce(&Call<'_>) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let cancel = Cancel::new().map_err(Stopped::Exhausted)?;
        let phase = Arc::new(Phase::default());
        let session = Arc::clone(&self.session);
        let (theirs, shown) = (cancel.clone(), Arc::clone(&phase));
        let task = tokio::task::spawn_blocking(move || {
            work(&Call { session: &session, cancel: &theirs, phase: &shown })
        });
        tokio::select! {
            done = task => done.map_err(Stopped::Panicked),
            () = report(context, &phase) => unreachable!("it never ends"),
            () = context.ct.cancelled() => {
                cancel.cancel();
                Err(Stopped::Cancelled)
            }
            () = self.ending.cancelled() => {
                cancel.cancel();
                Err(Stopped::Cancelled)
            }
        }
    }

    async fn call(
        &self,
        tool: &Arc<Offered>,
        arguments: JsonObject,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResult {
        let wanted = Arc::clone(tool);
        let done = self.blocking(context, move |call| call.session.call(&wanted, call, arguments));
        match done.await {
            Ok(Ok(answer)) => success(answer),
            Ok(Err(text)) => failure(text),
            Err(stopped) => failure(stopped.text(tool.name())),
        }
    }
}

/// Why a call has no answer of its own.
#[derive(Debug)]
enum Stopped {
    /// Nobody waits for it.
    Cancelled,
    /// A bug of ours.
    Panicked(JoinError),
    /// Descriptors have run out.
    Exhausted(std::io::Error),
}

impl Stopped {
    fn text(&self, name: &str) -> String {
        match self {
            Self::Cancelled => format!(
                "error: {name} was cancelled; a command that it had started goes on; call workspace_list {{}}"
            ),
            Self::Panicked(error) => {
                tracing::error!(tool = name, %error, "a call panicked");
                format!(
                    "error: pyro failed inside {name}: this is a bug in pyro, its log says more; call {name} again with other arguments"
                )
            }
            Self::Exhausted(error) => format!("error: {error}; call {name} again when others have ended"),
        }
    }
}

fn success(answer: Answer) -> CallToolResult {
    match answer {
        Answer::Record(value) => CallToolResult::structured(value),
        Answer::Text(text) => CallToolResult::success(vec![ContentBlock::text(clamp(text))]),
    }
}

fn failure(text: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(clamp(text))])
}

impl ServerHandler for Server {
    fn get_info(&self) -> InitializeResult {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_prompts().enable_resources().build();
        let implementation = Implementation::new("pyro", env!("CARGO_PKG_VERSION"))
            .with_title("pyro workspaces")
            .with_description("Disposable microVM workspaces for coding agents");
        let instructions = match &self.session.mode {
            Some(mode) => mode.recipe.instructions.trim(),
            None if self.session.tool("workspace_create").is_none() => INSTRUCTIONS_RUN,
            None => INSTRUCTIONS,
        };
        InitializeResult::new(capabilities).with_server_info(implementation).with_instructions(instructions)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.session.tools().iter().map(|tool| tool.listed().clone()).collect();
        Ok(ListToolsResult { ttl_ms: Some(LIST_TTL_MS), ..ListToolsResult::with_all_items(tools) })
    }

    fn get_tool(&self, name: &str) -> Option<rmcp::model::Tool> {
        self.session.tool(name).map(|tool| tool.listed().clone())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = self.session.tool(&request.name) else {
            let names: Vec<&str> = self.session.tools().iter().map(|tool| tool.name()).collect();
            let text = format!(
                "there is no tool {} in {}; there are: {}",
                request.name,
                self.session.what(),
                names.join(", ")
            );
            return Err(ErrorData::invalid_params(text, None));
        };
        Ok(self.call(tool, request.arguments.unwrap_or_default(), &context).await.into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let task = PromptArgument::new("task").with_description("What is to be done").with_required(false);
        let (name, prompt) = self.prompt();
        let listed = Prompt::new(name, Some(&prompt.description), Some(vec![task]));
        Ok(ListPromptsResult::with_all_items(vec![listed]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let (name, prompt) = self.prompt();
        if request.name != name {
            let known = format!("there is no prompt {}; there is {name}", request.name);
            return Err(ErrorData::invalid_params(known, None));
        }
        let task = request.arguments.as_ref().and_then(|it| it.get("task")?.as_str()).unwrap_or_default();
        let message = PromptMessage::new_text(Role::User, prompt.fill(task).trim());
        Ok(GetPromptResult::new(vec![message]).with_description(&prompt.description).into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        match self.blocking(&context, resources::list).await {
            Ok(Ok(resources)) => Ok(ListResourcesResult::with_all_items(resources)),
            // A client that shows them shows none; a call of a tool says why.
            Ok(Err(error)) => {
                tracing::warn!(why = error.message, "workspaces cannot be listed");
                Ok(ListResourcesResult::default())
            }
            Err(stopped) => Err(ErrorData::internal_error(stopped.text("resources/list"), None)),
        }
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.clone();
        match self.blocking(&context, move |call| resources::read(call, &uri)).await {
            Ok(Ok(contents)) => Ok(contents.into()),
            Ok(Err(error)) => {
                Err(ErrorData::resource_not_found(error.message, Some(json!({ "uri": request.uri }))))
            }
            Err(stopped) => Err(ErrorData::internal_error(stopped.text("resources/read"), None)),
        }
    }
}

impl Server {
    /// The one prompt, and what it is called.
    fn prompt(&self) -> (&str, &recipe::Prompt) {
        static WITHOUT_MODE: LazyLock<recipe::Prompt> = LazyLock::new(|| recipe::Prompt {
            description: "Do a task in a disposable workspace".into(),
            text: PROMPT.into(),
        });
        match &self.session.mode {
            Some(mode) => (&mode.mode, &mode.recipe.prompt),
            None => ("workspace", &WITHOUT_MODE),
        }
    }
}
