use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::text;

/// A repository and the branch, or prefix of branches, from which a document may be changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// Where: `github:acme/model`, `gitlab:acme/data/model`, `git:https://git.acme.example/model.git`.
    location: String,
    /// The branch; a prefix of branches if it ends in `/*`.
    branch: String,
}

/// Why a text is no repository.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{text}` is no repository: {reason}; write `github:owner/name@branch`, \
     `gitlab:group/name@branch` or `git:URL@branch`, where a branch may end in `/*`"
)]
pub struct RepositoryError {
    text: String,
    reason: &'static str,
}

impl Repository {
    /// Where the repository is, without the branch.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The branch, or the pattern of branches.
    #[must_use]
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// Is a change that comes from `head` a change from here? `head` names one branch, never a pattern.
    #[must_use]
    pub fn admits(&self, head: &Self) -> bool {
        if head.branch.contains('*') || self.location != head.location {
            return false;
        }
        match self.branch.strip_suffix('*') {
            // The prefix keeps its `/`, so that `sales/*` admits neither `sales` nor `salesforce/x`.
            Some(prefix) => head.branch.len() > prefix.len() && head.branch.starts_with(prefix),
            None => self.branch == head.branch,
        }
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        let fail = |reason| RepositoryError {
            text: text.to_owned(),
            reason,
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(fail("it holds a space or control character"));
        }
        let (location, branch) = text
            .rsplit_once('@')
            .ok_or_else(|| fail("it names no branch"))?;
        let (host, path) = location
            .split_once(':')
            .ok_or_else(|| fail("it does not say where the repository is"))?;
        match host {
            "github" if !is_path(path, 2..=2) => {
                return Err(fail("a repository of GitHub is an owner and a name"));
            }
            "gitlab" if !is_path(path, 2..=20) => {
                return Err(fail("a project of GitLab is one or more groups and a name"));
            }
            "git" if path.is_empty() => return Err(fail("the URL is empty")),
            "github" | "gitlab" | "git" => {}
            _ => return Err(fail("its host is none of `github`, `gitlab` and `git`")),
        }
        if !is_branch(branch) {
            return Err(fail("its branch is none that git takes"));
        }
        // GitHub and GitLab take no notice of case; two spellings must not be two owners.
        let location = match host {
            "git" => location.to_owned(),
            _ => location.to_ascii_lowercase(),
        };
        Ok(Self {
            location,
            branch: branch.to_owned(),
        })
    }
}

fn is_path(path: &str, words: std::ops::RangeInclusive<usize>) -> bool {
    let is_word = |word: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !word.is_empty() && word != "." && word != ".." && word.chars().all(legal)
    };
    words.contains(&path.split('/').count()) && path.split('/').all(is_word)
}

/// The law of `git check-ref-format`, with one `*` allowed as the whole last step of the path.
fn is_branch(branch: &str) -> bool {
    let name = branch.strip_suffix("/*").unwrap_or(branch);
    let forbidden = |c: char| matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\' | '@');
    let is_step = |step: &str| {
        !step.is_empty()
            && !step.starts_with('.')
            && !step.ends_with('.')
            && !step.ends_with(".lock")
            && !step.contains("..")
    };
    !name.starts_with('-') && !name.contains(forbidden) && name.split('/').all(is_step)
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.location, self.branch)
    }
}

text!(
    Repository, "a repository", examples: ["github:acme/one@main", "gitlab:acme/data/two@team/*"]
);

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("github:acme/model@main")]
    #[test_case("github:acme/model@sales/*")]
    #[test_case("gitlab:acme/data/model@release/1.0")]
    #[test_case("git:https://git.acme.example/model.git@main")]
    #[test_case("git:ssh://git@acme.example/model.git@main")]
    fn a_repository_is_read_and_written(text: &str) {
        assert_eq!(text.parse::<Repository>().unwrap().to_string(), text);
    }

    #[test_case("github:acme/model", "names no branch")]
    #[test_case("acme/model@main", "does not say where")]
    #[test_case("github:acme@main", "an owner and a name")]
    #[test_case("github:acme/../model@main", "an owner and a name")]
    #[test_case("svn:acme/model@main", "none of `github`")]
    #[test_case("github:acme/model@", "its branch")]
    #[test_case("github:acme/model@*", "its branch")]
    #[test_case("github:acme/model@sa*les/x", "its branch")]
    #[test_case("github:acme/model@a..b", "its branch")]
    #[test_case("git:@main", "URL is empty")]
    #[test_case("github:acme/model@ma in", "space")]
    fn another_text_is_no_repository(text: &str, expected: &str) {
        let message = text.parse::<Repository>().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test_case("github:acme/model@main", "github:acme/model@main", true; "itself")]
    #[test_case("github:acme/model@main", "github:Acme/Model@main", true; "another case")]
    #[test_case("github:acme/model@main", "github:acme/model@Main", false; "branches have case")]
    #[test_case("github:acme/model@main", "gitlab:acme/model@main", false; "another host")]
    #[test_case("github:acme/model@sales/*", "github:acme/model@sales/x/y", true; "below the prefix")]
    #[test_case("github:acme/model@sales/*", "github:acme/model@sales", false; "the prefix alone")]
    #[test_case("github:acme/model@sales/*", "github:acme/model@salesforce/x", false; "longer word")]
    #[test_case("github:acme/model@sales/*", "github:acme/model@sales/*", false; "a pattern is no head")]
    fn an_owner_admits_its_own_heads_only(owner: &str, head: &str, admitted: bool) {
        let owner: Repository = owner.parse().unwrap();
        assert_eq!(owner.admits(&head.parse().unwrap()), admitted);
    }
}
