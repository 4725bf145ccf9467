//! What is done with the pixels of an image before they are a tensor: the steps of `prepare` in model.json.

use image::RgbImage;

use super::picture::Picture;
use super::resample::{between, resized};
use crate::core::manifest::preprocess::{Rounding, Step};
use crate::sys::room;

/// The image, grey or in colours, after all steps, or why there is none. No step makes more than ``most`` pixels.
pub fn prepared(image: RgbImage, gray: bool, steps: &[Step], most: u64) -> Result<Picture, String> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let mut picture = Picture { height, width, channels: 3, data: image.into_raw() };
    if gray {
        picture = luminance(&picture);
    }
    for step in steps {
        let (height, width) = step.size_of(picture.height, picture.width);
        match *step {
            Step::Resize(_, _, way) | Step::Shorter(_, way) => {
                let made = between((picture.height, picture.width), height, width, way);
                for (to, (high, wide)) in [("to", (height, width)), ("by way of", made)] {
                    require_room(&format!("it would be resized {to}"), (high, wide), picture.channels, most)?;
                }
                picture = resized(picture, height, width, way);
            }
            Step::Crop(_, _, rounding) | Step::Share(_, _, rounding) => {
                if height == 0 || width == 0 {
                    return Err("nothing is left of it when its middle is cut out".to_string());
                }
                require_room("its middle would be", (height, width), picture.channels, most)?;
                picture = cut(&picture, height, width, rounding);
            }
        }
    }
    Ok(picture)
}

/// Whether a step may make so large a picture; `what` begins the sentence that says why not.
fn require_room(what: &str, (height, width): (usize, usize), channels: usize, most: u64) -> Result<(), String> {
    let pixels = (height as u64).saturating_mul(width as u64);
    if pixels > most {
        return Err(format!("{what} {width} x {height} pixels, more than the {most} that are accepted"));
    }
    match room::is_there(pixels as usize * channels) {
        true => Ok(()),
        false => Err(format!("there is no memory for {pixels} pixels")),
    }
}

/// By Pillow's formula.
fn luminance(image: &Picture) -> Picture {
    let grey = |pixel: &[u8]| {
        let sum = [19595, 38470, 7471].iter().zip(pixel).map(|(weight, value)| weight * u32::from(*value)).sum::<u32>();
        ((sum + 0x8000) >> 16) as u8
    };
    Picture { channels: 1, data: image.data.chunks_exact(3).map(grey).collect(), ..*image }
}

/// The middle, with zeros where the image is smaller.
fn cut(image: &Picture, height: usize, width: usize, rounding: Rounding) -> Picture {
    let (top, left) = (start(image.height, height, rounding), start(image.width, width, rounding));
    let channels = image.channels;
    let mut data = vec![0; height * width * channels];
    let (y, x) = (top.min(0).unsigned_abs(), left.min(0).unsigned_abs());
    let (top, left) = (top.max(0) as usize, left.max(0) as usize);
    let (rows, columns) = ((image.height - top).min(height - y), (image.width - left).min(width - x));
    for row in 0..rows {
        let from = ((top + row) * image.width + left) * channels;
        let to = ((y + row) * width + x) * channels;
        data[to..to + columns * channels].copy_from_slice(&image.data[from..from + columns * channels]);
    }
    Picture { height, width, channels, data }
}

/// Where the middle begins; below zero in an image that is smaller.
fn start(side: usize, size: usize, rounding: Rounding) -> isize {
    let difference = side as isize - size as isize;
    match rounding {
        Rounding::Floor => difference.div_euclid(2),
        Rounding::Even if difference > 0 && difference % 4 == 3 => difference / 2 + 1,
        Rounding::Zero | Rounding::Even => difference / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::manifest::preprocess::Way;

    #[test]
    fn the_middle_begins_where_the_libraries_have_it() {
        let starts = |rounding| [7, 5, 3, 1, 2, 0, -1, -3, -4].map(|d: isize| start((10 + d) as usize, 10, rounding));
        assert_eq!(starts(Rounding::Floor), [3, 2, 1, 0, 1, 0, -1, -2, -2]);
        assert_eq!(starts(Rounding::Zero), [3, 2, 1, 0, 1, 0, 0, -1, -2]);
        assert_eq!(starts(Rounding::Even), [4, 2, 2, 0, 1, 0, 0, -1, -2]);
    }

    #[test]
    fn a_small_image_lies_in_zeros() {
        let image = Picture { height: 1, width: 2, channels: 1, data: vec![5, 6] };
        assert_eq!(cut(&image, 3, 3, Rounding::Floor).data, [0, 0, 0, 0, 5, 6, 0, 0, 0]);
        assert_eq!(cut(&image, 2, 1, Rounding::Zero).data, [5, 0]);
    }

    #[test]
    fn no_step_makes_too_much() {
        let thin = || RgbImage::new(1, 1000);
        let refused =
            prepared(thin(), false, &[Step::Shorter(224, Way::named("linear").unwrap())], 1 << 20).unwrap_err();
        assert_eq!(refused, "it would be resized to 224 x 224000 pixels, more than the 1048576 that are accepted");
        let way = Way::named("linear across").unwrap();
        let refused = prepared(RgbImage::new(1, 1 << 16), false, &[Step::Resize(100, 100, way)], 1 << 20).unwrap_err();
        assert!(refused.starts_with("it would be resized by way of 100 x 65536 pixels"), "{refused}");
        let large = prepared(RgbImage::new(2, 2), true, &[Step::Crop(3, 4, Rounding::Floor)], 11).unwrap_err();
        assert_eq!(large, "its middle would be 4 x 3 pixels, more than the 11 that are accepted");
        let nothing = prepared(RgbImage::new(1, 1), true, &[Step::Share(0.5, 0.5, Rounding::Floor)], 9).unwrap_err();
        assert_eq!(nothing, "nothing is left of it when its middle is cut out");
    }
}
