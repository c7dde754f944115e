//! Many versions deleted by one request.

use std::collections::HashMap;

use aws_sdk_s3::types::{Delete, Error as KeyError, ObjectIdentifier};

use super::super::{Error, Result, VersionOf};
use super::S3;
use super::classify::Answer;
use super::retry::{Call, Failure, Retry};
use crate::limits::DELETE_KEYS_MAX;

/// What a request has to delete it is authorised for version by version.
const ACTION: &str = "s3:DeleteObjectVersion";

impl S3 {
    /// `DeleteObjects`, again for those versions alone that met an error which passes.
    pub(super) async fn delete_many(&self, doomed: &[VersionOf]) -> Result<Vec<Result<()>>> {
        if doomed.len() > DELETE_KEYS_MAX {
            return Err(Error::Setup(format!("{} versions in one delete, {DELETE_KEYS_MAX} at most", doomed.len())));
        }
        let call = Call::bucket(ACTION);
        let mut done: Vec<Option<Result<()>>> = doomed.iter().map(|_| None).collect();
        let mut budget = self.budget(call);
        loop {
            let left: Vec<usize> = (0..doomed.len()).filter(|place| done[*place].is_none()).collect();
            if left.is_empty() {
                return Ok(done.into_iter().flatten().collect());
            }
            let asked: Vec<&VersionOf> = left.iter().map(|place| &doomed[*place]).collect();
            let answers = match budget.within(self.patiently(call, self.delete_some(call, &asked))).await? {
                Ok(answers) => answers,
                Err(failure) => {
                    budget.pause(failure).await?;
                    continue;
                }
            };
            let mut passing = None;
            for (place, answer) in left.iter().copied().zip(answers) {
                match answer {
                    Ok(()) => done[place] = Some(Ok(())),
                    Err(Failure { error, retry: Retry::Never }) => done[place] = Some(Err(error)),
                    Err(failure) => passing = Some((place, failure)),
                }
            }
            if let Some((place, failure)) = passing
                && let Err(error) = budget.pause(failure).await
            {
                give_up(&mut done, doomed, place, error);
            }
        }
    }

    /// One request; an answer for each version in the order asked.
    async fn delete_some(&self, call: Call<'_>, asked: &[&VersionOf]) -> Result<Vec<Result<(), Failure>>, Failure> {
        let objects: Result<Vec<_>, _> = asked
            .iter()
            .map(|one| ObjectIdentifier::builder().key(one.key.as_str()).version_id(one.version.as_str()).build())
            .collect();
        let setup = |error: aws_sdk_s3::error::BuildError| Failure::permanent(Error::Setup(error.to_string()));
        let wanted = Delete::builder().set_objects(Some(objects.map_err(setup)?)).build().map_err(setup)?;
        let sent = self.client.delete_objects().bucket(&self.bucket).delete(wanted).send().await;
        let output = sent.map_err(|error| self.failure(call, &error))?;
        let named = |key: Option<&str>, version: Option<&str>| {
            (key.unwrap_or_default().to_owned(), version.unwrap_or_default().to_owned())
        };
        let deleted = output.deleted().iter().map(|line| (named(line.key(), line.version_id()), None));
        let failed = output.errors().iter().map(|line| (named(line.key(), line.version_id()), Some(line)));
        // An error wins over a success for the same version.
        let told: HashMap<_, _> = deleted.chain(failed).collect();
        let answer = |one: &&VersionOf| match told.get(&named(Some(one.key.as_str()), Some(one.version.as_str()))) {
            Some(None) => Ok(()),
            Some(Some(error)) => self.refused_key(one, error),
            None => {
                let what = "the store neither deleted it nor said why not".into();
                Err(Failure::passing(Error::Corrupt { target: one.key.to_string(), what }))
            }
        };
        Ok(asked.iter().map(answer).collect())
    }

    /// A version that is gone already is deleted, as with single deletes.
    fn refused_key(&self, one: &VersionOf, error: &KeyError) -> Result<(), Failure> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let answer = Answer { code: text(error.code()), message: text(error.message()), ..Answer::default() };
        match self.meaning(Call::version(ACTION, &one.key, &one.version), &answer) {
            Failure { error: Error::NotFound { .. }, .. } => Ok(()),
            failure => Err(failure),
        }
    }
}

/// Tries or time are used up: what is not deleted yet shares the last error.
fn give_up(done: &mut [Option<Result<()>>], doomed: &[VersionOf], place: usize, error: Error) {
    let code = error.to_string();
    done[place] = Some(Err(error));
    for (one, open) in doomed.iter().zip(done.iter_mut()).filter(|(_, open)| open.is_none()) {
        *open = Some(Err(Error::Busy { action: ACTION, target: one.key.to_string(), code: code.clone() }));
    }
}
