use crate::rules::{kind, language};
use crate::spec::{
    AssignmentSpec, BrokenDocument, DatastoreSpec, Document, EcosystemSpec, GovernanceZoneSpec,
    Kind, ModelSpec, PlatformSpec, TeamSpec, WorkspaceSpec,
};
use crate::yaml::{Decoder, Node, Value, read};
use crate::{Diagnostic, Sources, Spanned};

/// The version of the model language that this release reads.
pub const LANGUAGE_VERSION: u64 = 1;

/// What could be read of a model, and what was wrong.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Every document that could be read.
    pub spec: ModelSpec,
    /// Everything else, in no particular order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads every document of every file. A bad document hides no other one.
#[must_use]
pub fn parse(sources: &Sources) -> Parsed {
    let mut parsed = Parsed {
        spec: ModelSpec::default(),
        diagnostics: Vec::new(),
    };
    for file in sources.ids() {
        let read = read(file, sources.text(file), &mut parsed.diagnostics);
        parsed.spec.incomplete |= !read.complete;
        for node in &read.documents {
            parsed.document(node);
        }
    }
    parsed
}

impl Parsed {
    fn document(&mut self, node: &Node) {
        let entries = match &node.value {
            // A file may begin or end with `---`; the parser calls what is not there `~`.
            Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~") => return,
            Value::Mapping(entries) => entries,
            _ => {
                let mut decoder = Decoder::new(&mut self.diagnostics, String::new());
                decoder.wrong::<()>(node, "a mapping that begins with `kind`");
                self.spec.incomplete = true;
                return;
            }
        };
        let Some((kind, rest)) = self.kind(node, entries) else {
            self.spec.incomplete = true;
            return;
        };
        let name = name(kind, rest);
        let at = entries[0].1.span;
        let mut decoder = Decoder::new(&mut self.diagnostics, name.clone().unwrap_or_default());
        macro_rules! decode {
            ($spec:ident) => {{
                let fields = decoder.fields_of(rest, at, $spec::FIELDS, None);
                $spec::decode_fields(fields, &mut decoder)
            }};
        }
        let document = match kind {
            Kind::Ecosystem => decode!(EcosystemSpec).map(Document::Ecosystem),
            Kind::GovernanceZone => decode!(GovernanceZoneSpec).map(Document::GovernanceZone),
            Kind::Team => decode!(TeamSpec).map(Document::Team),
            Kind::Datastore => decode!(DatastoreSpec).map(Document::Datastore),
            Kind::Workspace => decode!(WorkspaceSpec).map(Document::Workspace),
            Kind::Assignment => decode!(AssignmentSpec).map(Document::Assignment),
            Kind::Platform => decode!(PlatformSpec).map(Document::Platform),
        };
        match (document, name) {
            (Some(document), _) => {
                self.language(&document);
                self.spec.documents.push(Spanned::new(document, at));
            }
            (None, Some(name)) => self.spec.broken.push(BrokenDocument {
                kind,
                name,
                owner: owner(kind, rest),
            }),
            (None, None) => self.spec.incomplete = true,
        }
    }

    /// The kind of a document, which is its first key, and the entries after it.
    fn kind<'n>(
        &mut self,
        node: &Node,
        entries: &'n [(Node, Node)],
    ) -> Option<(Kind, &'n [(Node, Node)])> {
        let is_kind = |(key, _): &(Node, Node)| matches!(&key.value, Value::Scalar { text, .. } if text == "kind");
        let help = "begin the document with `kind: Datastore` or another kind";
        match entries.iter().position(is_kind) {
            Some(0) => {
                let mut decoder = Decoder::new(&mut self.diagnostics, String::new());
                let kind = decoder.under::<Kind>("kind", &entries[0].1)?;
                Some((kind, &entries[1..]))
            }
            Some(place) => {
                let span = entries[place].0.span;
                let message = "`kind` is not the first key of the document";
                let finding = kind::RULE.finding("", span, message).with_help(help);
                self.diagnostics.push(finding);
                None
            }
            None => {
                let span = entries.first().map_or(node.span, |(key, _)| key.span);
                let finding = kind::RULE.finding("", span, "the document has no `kind`");
                self.diagnostics.push(finding.with_help(help));
                None
            }
        }
    }

    fn language(&mut self, document: &Document) {
        let Document::Ecosystem(ecosystem) = document else {
            return;
        };
        let version = ecosystem.language.value.get();
        if version != LANGUAGE_VERSION {
            let message = format!(
                "the model is written in language {version}, and this release reads language \
                 {LANGUAGE_VERSION}"
            );
            let help = if version > LANGUAGE_VERSION {
                "use a newer release of milepost"
            } else {
                "upgrade the model with `milepost fmt --upgrade`"
            };
            let finding = language::RULE.finding(
                ecosystem.name.to_string(),
                ecosystem.language.span,
                message,
            );
            self.diagnostics.push(finding.with_help(help));
        }
    }
}

/// What a document calls itself, whether or not the rest of it can be read.
fn name(kind: Kind, entries: &[(Node, Node)]) -> Option<String> {
    let text = |key| crate::yaml::peek(entries, key);
    match kind {
        Kind::Assignment => Some(format!(
            "{}/{}/{}",
            text("platform")?,
            text("workspace")?,
            text("group")?
        )),
        _ => text("name").map(str::to_owned),
    }
}

/// What a document says of its owner, whether or not the rest of it can be read.
fn owner(kind: Kind, entries: &[(Node, Node)]) -> Option<String> {
    let key = match kind {
        Kind::Ecosystem => "repository",
        Kind::Datastore | Kind::Workspace => "team",
        Kind::GovernanceZone | Kind::Team | Kind::Assignment | Kind::Platform => return None,
    };
    crate::yaml::peek(entries, key).map(str::to_owned)
}
