//! What carries operations out, and the layers around it.

use arcp_core::lease::Namespace;
use tower_layer::Layer;
use tower_service::Service;

use super::{BuildError, Builder};
use crate::BoxError;
use crate::operation::{Backend, Operation, Output, Tool, backend};

impl Builder {
    /// Registers a tool, which [`Job::tool`](crate::Job::tool) calls under a lease. [`tool_fn`] makes
    /// one of an async function, and layers go around it; one that is registered again replaces the
    /// one before.
    ///
    /// [`tool_fn`]: crate::operation::tool_fn
    pub fn tool<S>(mut self, name: impl Into<String>, tool: S) -> Self
    where
        S: Service<Operation, Response = Output, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        let name = name.into();
        self.operations.tools.insert(name.clone(), Tool::new(name, backend(tool)));
        self
    }

    /// The same for a tool that says what it takes and gives. Arguments that do not fit its input schema
    /// are refused with `INVALID_REQUEST` before the tool and the layers around it are reached;
    /// `details.pointer` leads to the fault. Its output schema is for those who read. Agents find what it
    /// says with [`Job::tools`](crate::Job::tools).
    ///
    /// A runtime with a schema that cannot be used is not built.
    ///
    /// ```
    /// use arcp_tower::{Runtime, tool_fn};
    /// use schemars::JsonSchema;
    /// use serde::Deserialize;
    /// use tower::ServiceBuilder;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Search {
    ///     query: String,
    ///     #[schemars(range(min = 1, max = 50))]
    ///     limit: u8,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let search = tool_fn(|args: Search, _| async move { Ok(vec![args.query; usize::from(args.limit)]) });
    /// let says = search.description().about("Searches the web.");
    /// let search = ServiceBuilder::new().concurrency_limit(4).service(search);
    /// let runtime = Runtime::builder().described_tool("search.web", search, says).build()?;
    /// # drop(runtime);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "schema")]
    pub fn described_tool<S>(
        mut self,
        name: impl Into<String>,
        tool: S,
        description: arcp_core::agent::AgentDescription,
    ) -> Self
    where
        S: Service<Operation, Response = Output, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        let name = name.into();
        match Tool::described(name.clone(), backend(tool), description) {
            Ok(tool) => _ = self.operations.tools.insert(name, tool),
            Err(rule) => _ = self.refused.get_or_insert(BuildError::Operation { name, rule }),
        }
        self
    }

    /// Registers what answers for models, which [`Job::model`](crate::Job::model) asks under a lease
    /// (§9.7). The operation's target is the model, its arguments the request.
    pub fn models<S>(self, models: S) -> Self
    where
        S: Service<Operation, Response = Output, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        self.backend(Namespace::ModelUse, models)
    }

    /// Lets jobs read and write files under their leases, below the folders that `files` was given
    /// (§9.2); see [`Job::fs`](crate::Job::fs). Without bounds of their own they have those of
    /// [`Config::files`](crate::Config::files).
    #[cfg(all(feature = "fs", unix))]
    pub fn files(mut self, files: crate::operation::files::Files) -> Self {
        self.files = Some(files);
        self
    }

    /// Lets jobs send HTTP requests under their leases (§9.2); see [`Job::fetch`](crate::Job::fetch).
    /// Without bounds of its own it has those of [`Config::fetch`](crate::Config::fetch).
    #[cfg(feature = "fetch")]
    pub fn fetcher(mut self, fetcher: crate::operation::fetch::Fetcher) -> Self {
        self.fetcher = Some(fetcher);
        self
    }

    /// Registers what carries out the operations of a namespace of the deployment's own, such as
    /// `x-vendor.acme.gpu`, which [`Job::operation`](crate::Job::operation) asks for under a lease.
    pub fn operations<S>(mut self, namespace: &str, service: S) -> Self
    where
        S: Service<Operation, Response = Output, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        if let Ok(namespace @ Namespace::Vendor(_)) = namespace.parse() {
            return self.backend(namespace, service);
        }
        self.refused.get_or_insert(BuildError::Operation {
            name: namespace.to_owned(),
            rule: "a namespace of one's own begins with x-vendor.".to_owned(),
        });
        self
    }

    fn backend<S>(mut self, namespace: Namespace, service: S) -> Self
    where
        S: Service<Operation, Response = Output, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        self.operations.others.insert(namespace, backend(service));
        self
    }

    /// Puts a layer around all operations of all jobs, below their leases: it sees only what they
    /// allow. Of several, the first is the outermost.
    pub fn operation_layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Backend> + Send + 'static,
        L::Service: Service<Operation, Response = Output, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        self.around.push(Box::new(move |inner| backend(layer.layer(inner))));
        self
    }
}
