//! The calls of a segmenter, blocking and async.

use super::bank::Source;
use super::options::quiet;
use super::{BankFile, Example, Progress, Segmentation, Segmenter, SupportBank};
use crate::Error;
use crate::gpu::{Wait, block_on};
use crate::image_io::RgbImage;

impl Segmenter {
    /// Encodes one or more examples to a bank.
    ///
    /// # Errors
    /// No example, or an error of the device.
    pub fn encode(&self, examples: &[Example]) -> Result<SupportBank, Error> {
        self.encode_with(examples, &mut quiet)
    }

    /// The same, with reports to `progress`.
    ///
    /// # Errors
    /// As [`Segmenter::encode`], and [`Error::Interrupted`].
    pub fn encode_with(&self, examples: &[Example], progress: Progress) -> Result<SupportBank, Error> {
        self.bank_of(&[], examples, progress)
    }

    /// [`Segmenter::encode_with`] without blocking. Dropping it early leaves no bank.
    ///
    /// # Errors
    /// As there.
    pub async fn encode_async(&self, examples: &[Example], progress: Progress<'_>) -> Result<SupportBank, Error> {
        self.bank(Wait::Aside, self.sources(&[], examples)?, progress).await
    }

    /// [`Segmenter::encode`] with the given way to wait.
    #[cfg(feature = "conformance")]
    pub(crate) async fn encode_by(&self, wait: Wait, examples: &[Example]) -> Result<SupportBank, Error> {
        self.bank(wait, self.sources(&[], examples)?, &mut quiet).await
    }

    /// The bank of the examples in `files`, followed by `examples`.
    ///
    /// # Errors
    /// A bank of another model or size, a damaged file, no example, [`Error::Interrupted`], or an error of the device.
    pub fn load_bank(
        &self,
        files: &[BankFile],
        examples: &[Example],
        progress: Progress,
    ) -> Result<SupportBank, Error> {
        for file in files {
            self.check_file(file)?;
        }
        self.bank_of(files, examples, progress)
    }

    fn bank_of(&self, files: &[BankFile], examples: &[Example], progress: Progress) -> Result<SupportBank, Error> {
        block_on(self.bank(Wait::Here, self.sources(files, examples)?, progress))
    }

    fn sources(&self, files: &[BankFile], examples: &[Example]) -> Result<Vec<Source>, Error> {
        let files = files.iter().cloned().map(Source::File);
        let examples = examples.iter().map(|example| example.at(self.setup.size, self.setup.framing));
        let sources: Vec<Source> = files.chain(examples).collect();
        match sources.is_empty() {
            true => Err(Error::Usage("at least one example is needed".into())),
            false => Ok(sources),
        }
    }

    /// Segments in `query` the thing that the bank's examples show.
    ///
    /// # Errors
    /// A bank of another segmenter, NaN or infinity after a stage in f32, or an error of the device.
    pub fn segment(&self, bank: &SupportBank, query: &RgbImage) -> Result<Segmentation, Error> {
        self.segment_with(bank, query, &mut quiet)
    }

    /// The same, with reports to `progress`.
    ///
    /// # Errors
    /// As [`Segmenter::segment`], and [`Error::Interrupted`].
    pub fn segment_with(
        &self,
        bank: &SupportBank,
        query: &RgbImage,
        progress: Progress,
    ) -> Result<Segmentation, Error> {
        only(self.segment_classes(&[bank], query, progress)?)
    }

    /// [`Segmenter::segment_with`] without blocking.
    ///
    /// # Errors
    /// As there.
    pub async fn segment_async(
        &self,
        bank: &SupportBank,
        query: &RgbImage,
        progress: Progress<'_>,
    ) -> Result<Segmentation, Error> {
        only(self.segment_classes_async(&[bank], query, progress).await?)
    }

    /// [`Segmenter::segment`] with the given way to wait.
    #[cfg(feature = "conformance")]
    pub(crate) async fn segment_by(
        &self,
        wait: Wait,
        bank: &SupportBank,
        query: &RgbImage,
    ) -> Result<Segmentation, Error> {
        only(self.found(wait, &[bank], query, &mut quiet).await?)
    }

    /// Segments `query` by each of `banks` and returns a result for each, in order. The query is encoded once. Times and spans cover all
    /// banks together.
    ///
    /// # Errors
    /// As [`Segmenter::segment`], and [`Error::Interrupted`].
    pub fn segment_classes(
        &self,
        banks: &[&SupportBank],
        query: &RgbImage,
        progress: Progress,
    ) -> Result<Vec<Segmentation>, Error> {
        block_on(self.found(Wait::Here, banks, query, progress))
    }

    /// [`Segmenter::segment_classes`] without blocking.
    ///
    /// # Errors
    /// As there.
    pub async fn segment_classes_async(
        &self,
        banks: &[&SupportBank],
        query: &RgbImage,
        progress: Progress<'_>,
    ) -> Result<Vec<Segmentation>, Error> {
        self.found(Wait::Aside, banks, query, progress).await
    }
}

fn only(mut found: Vec<Segmentation>) -> Result<Segmentation, Error> {
    found.pop().ok_or_else(|| Error::Usage("at least one bank is needed".into()))
}
