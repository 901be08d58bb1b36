//! What one dep file asks for: one image, or one per named container.

use super::Image;

/// The images of a complete, valid dep file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSet {
    /// One image without a container name: for the only container of the workload, or for the one
    /// named like the service.
    Single(Image),
    /// `container=image` lines, in file order, each container (or init container) at most once.
    Named(Vec<(Box<str>, Image)>),
}
