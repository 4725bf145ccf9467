//! Rules of the house that no compiler keeps.

mod callbacks;
mod layers;
