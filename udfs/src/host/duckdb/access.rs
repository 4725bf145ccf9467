//! Which files SQL may reach.

use std::path::{Component, Path, PathBuf};

/// Where a place really is, if it is one of the paths, or in one of the folders: with links followed, so only if it is
/// there. What a place with `..` means would depend on links.
pub fn held(folders: &[String], paths: &[String], place: &Path) -> Option<PathBuf> {
    if place.components().any(|component| component == Component::ParentDir) {
        return None;
    }
    let place = std::fs::canonicalize(place).ok()?;
    let is = |test: &dyn Fn(PathBuf) -> bool, all: &[String]| all.iter().flat_map(std::fs::canonicalize).any(test);
    (is(&|folder| place.starts_with(folder), folders) || is(&|path| path == place, paths)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_held_by_their_folders() {
        let folder = std::env::temp_dir().join(format!("sqlinfer-held-{}", std::process::id()));
        let (inner, beside) = (folder.join("x"), folder.with_extension("x"));
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::create_dir_all(&beside).unwrap();
        let real = std::fs::canonicalize(&folder).unwrap();
        let folders = [folder.to_string_lossy().into_owned()];
        assert_eq!(held(&folders, &[], &folder), Some(real.clone()));
        assert_eq!(held(&folders, &[], &inner), Some(real.join("x")));
        assert_eq!(held(&[], &folders, &folder), Some(real));
        assert_eq!(held(&[], &folders, &inner), None);
        for place in [&beside, &folder.join("y"), &inner.join(".."), &inner.join("../x"), Path::new("/etc")] {
            assert_eq!(held(&folders, &[], place), None, "{}", place.display());
        }
        std::fs::remove_dir_all(folder).unwrap();
        std::fs::remove_dir_all(beside).unwrap();
    }
}
