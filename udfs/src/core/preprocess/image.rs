//! Image files → pixels, sized and cut as the model takes them. What is done with the values is the graph's business.

use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, RgbImage};
use mozjpeg::{ColorSpace, Decompress, Marker};

use super::picture::Picture;
use super::steps::prepared;
use crate::core::column::{Column, Data, Rows};
use crate::core::error::{Error, Result};
use crate::core::manifest::preprocess::ImageSteps;
use crate::core::packed::Packed;
use crate::sys::caught::{caught, guard};
use crate::sys::jpeg::strict;
use crate::sys::room;
use crate::sys::tensor::Buffer;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";
const DAMAGED: &str = "it is damaged";
/// Nobody means that, and a scale of another kind would not be the libraries' own answer.
const DEEP_GREY: &str =
    "it is grey of 16 bits, most of which Pillow, and what prepares images with it, makes white: write 8 bits";
/// Of the first chunk of a PNG file.
const DEPTH_AND_COLOURS: std::ops::Range<usize> = 24..26;
/// A file of a few kilobytes may have any number of scans, and each goes through all pixels.
const MOST_SCANS: usize = 500;
/// Images of more pixels are decoded one at a time in a process.
const HUGE: usize = 1 << 24;
static HUGE_ONE: Mutex<()> = Mutex::new(());
/// What decoding takes for each pixel, beside what the file holds for it: coefficients, the pixels, and those turned.
const WORK_SPACE: usize = 24;

pub struct Images {
    pub input: usize,
    pub prepare: ImageSteps,
}

impl Images {
    pub fn pack(
        &self,
        column: &Column,
        rows: Rows,
        threads: usize,
        tensors: &mut [Packed],
    ) -> std::result::Result<Vec<(usize, Vec<usize>)>, String> {
        let mut shapes = Vec::with_capacity(3 * rows.len());
        let (Data::Text(values), Buffer::U8(out)) = (&column.data, &mut tensors[self.input].buffer) else {
            return Err("the model takes no bytes".to_string());
        };
        out.clear();
        let contents: Vec<&[u8]> = rows.iter().map(|row| values[row]).collect();
        for image in decode_all(&contents, &self.prepare, threads) {
            let image = image.map_err(|error| error.text)?;
            shapes.extend([image.height, image.width, image.channels]);
            if out.try_reserve(image.data.len()).is_err() {
                return Err("there is no memory for its pixels".to_string());
            }
            out.extend_from_slice(&image.data);
        }
        Ok(vec![(self.input, shapes)])
    }

    /// How much memory the pixels will take, of the file or of the tensor; an image that cannot be read takes none.
    pub fn bytes_of(&self, column: &Column, row: usize) -> usize {
        let Data::Text(values) = &column.data else { return 0 };
        let Some((width, height)) = dimensions(values[row]) else { return 0 };
        let first = (height as usize, width as usize);
        let last = self.prepare.steps.iter().fold(first, |(height, width), step| step.size_of(height, width));
        let pixels = |(height, width): (usize, usize)| (height as u64).saturating_mul(width as u64);
        pixels(first).max(pixels(last)).min(self.prepare.pixels) as usize * 3
    }
}

/// Width and height, as the file says.
pub fn dimensions(content: &[u8]) -> Option<(u32, u32)> {
    if content.starts_with(PNG) {
        // behind the signature, the length of the first chunk and its name
        let number = |at: usize| Some(u32::from_be_bytes(content.get(at..at + 4)?.try_into().ok()?));
        return Some((number(16)?, number(20)?));
    }
    jpeg_frame(content).map(|(width, height)| (width.into(), height.into()))
}

/// In their order.
fn decode_all(contents: &[&[u8]], prepare: &ImageSteps, threads: usize) -> Vec<Result<Picture>> {
    let one = |content: &&[u8]| {
        let image = decode(content, prepare.pixels)?;
        prepared(image, prepare.gray, &prepare.steps, prepare.pixels).map_err(Error::new)
    };
    let decode_some = |some: &[&[u8]]| some.iter().map(|content| guard(|| one(content))).collect::<Vec<_>>();
    let share = contents.len().div_ceil(threads.max(1)).max(1);
    let mut shares = contents.chunks(share);
    let mine = shares.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = shares.map(|some| (some.len(), scope.spawn(move || decode_some(some)))).collect();
        let mut images = decode_some(mine);
        for (count, other) in others {
            let panicked = |_| (0..count).map(|_| Err(Error::new(DAMAGED.to_string()))).collect();
            images.extend(other.join().unwrap_or_else(panicked));
        }
        images
    })
}

/// Pixels [height, width, 3], upright.
pub fn decode(content: &[u8], most: u64) -> Result<RgbImage> {
    let read = if content.starts_with(PNG) {
        png
    } else if content.starts_with(JPEG) {
        jpeg
    } else {
        return Err(Error::new("it is neither PNG nor JPEG".to_string()));
    };
    let pixels = dimensions(content).map_or(0, |(width, height)| u64::from(width) * u64::from(height));
    let pixels = usize::try_from(pixels.min(most)).unwrap_or(0);
    let _alone = (pixels > HUGE).then(|| HUGE_ONE.lock().unwrap_or_else(PoisonError::into_inner));
    if !room::is_there(pixels * WORK_SPACE) {
        return Err(Error::new(format!("there is no memory for {pixels} pixels")));
    }
    // the decoders report what is wrong by unwinding, too
    let image = caught(|| read(content, most)).unwrap_or_else(|said| Err(Error::new(format!("{DAMAGED}: {said}"))));
    image.map_err(|error| Error::new(error.text.replace('\n', " ")))
}

fn accept(width: u32, height: u32, most: u64) -> Result<()> {
    if u64::from(width) * u64::from(height) > most {
        return Err(Error::new(format!("{width} x {height} pixels are more than the {most} that are accepted")));
    }
    Ok(())
}

fn png(content: &[u8], most: u64) -> Result<RgbImage> {
    let damaged = |error: image::ImageError| Error::new(format!("{DAMAGED}: {error}"));
    let mut decoder = PngDecoder::new(Cursor::new(content)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    accept(width, height, most)?;
    if content.get(DEPTH_AND_COLOURS) == Some(&[16, 0]) {
        return Err(Error::new(DEEP_GREY));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok(upright(DynamicImage::from_decoder(decoder).map_err(damaged)?, orientation))
}

/// 16 bits are cut to the upper 8, as Pillow does with colours, and with grey beside how opaque it is.
fn upright(mut image: DynamicImage, orientation: Orientation) -> RgbImage {
    image.apply_orientation(orientation);
    let high = |value: u16| (value >> 8) as u8;
    match image {
        DynamicImage::ImageRgb8(image) => image,
        DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA16(_) => {
            let grey = image.to_luma16();
            RgbImage::from_fn(grey.width(), grey.height(), |x, y| image::Rgb([high(grey.get_pixel(x, y).0[0]); 3]))
        }
        DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgba16(_) => {
            let deep = image.to_rgb16();
            RgbImage::from_fn(deep.width(), deep.height(), |x, y| image::Rgb(deep.get_pixel(x, y).0.map(high)))
        }
        image => image.to_rgb8(),
    }
}

fn jpeg(content: &[u8], most: u64) -> Result<RgbImage> {
    let damaged = |error: std::io::Error| Error::new(format!("{DAMAGED}: {error}"));
    let builder = Decompress::with_markers(&[Marker::APP(1)]).with_err(strict());
    let decoder = builder.from_mem(content).map_err(damaged)?;
    let (width, height) = (decoder.width() as u32, decoder.height() as u32);
    accept(width, height, most)?;
    if !is_whole(content) {
        return Err(Error::new(format!("{DAMAGED}: image file is truncated")));
    }
    let scans = content.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
    if scans > MOST_SCANS {
        return Err(Error::new(format!("{DAMAGED}: it has {scans} scans, of {MOST_SCANS} at most")));
    }
    let exif = decoder.markers().find_map(|marker| marker.data.strip_prefix(b"Exif\0\0"));
    let orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let four = matches!(decoder.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let pixels = if four {
        let mut started = decoder.to_colorspace(ColorSpace::JCS_CMYK).map_err(damaged)?;
        let inks: Vec<[u8; 4]> = started.read_scanlines().map_err(damaged)?;
        started.finish().map_err(damaged)?;
        let mut pixels = Vec::with_capacity(inks.len() * 3);
        inks.into_iter().for_each(|inks| pixels.extend(from_inks(inks)));
        pixels
    } else {
        let mut started = decoder.rgb().map_err(damaged)?;
        let pixels = started.read_scanlines::<u8>().map_err(damaged)?;
        started.finish().map_err(damaged)?;
        pixels
    };
    let image = RgbImage::from_raw(width, height, pixels).ok_or_else(|| Error::new(DAMAGED.to_string()))?;
    Ok(upright(DynamicImage::ImageRgb8(image), orientation))
}

/// Inverted cyan, magenta, yellow and black, as Adobe writes them, by Pillow's formula.
fn from_inks([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| {
        let product = u32::from(255 - ink) * u32::from(k) + 128;
        k - (((product >> 8) + product) >> 8) as u8
    })
}

/// The size in the frame header.
fn jpeg_frame(content: &[u8]) -> Option<(u16, u16)> {
    let (_, header) = segments(content).find(|(marker, _)| is_frame(*marker))?;
    let number = |at: usize| Some(u16::from_be_bytes([*header.get(at)?, *header.get(at + 1)?]));
    Some((number(3)?, number(1)?))
}

fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// Whether the end is marked behind the first scan; the decoder would fill up with grey what is missing.
fn is_whole(content: &[u8]) -> bool {
    let Some((_, scan)) = segments(content).find(|(marker, _)| *marker == 0xda) else { return false };
    let start = scan.as_ptr() as usize - content.as_ptr() as usize;
    content[start..].windows(2).any(|pair| pair == [0xff, 0xd9])
}

/// The segments before the first scan, and its header: marker and content.
fn segments(content: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 2;
    let mut done = false;
    std::iter::from_fn(move || {
        while content.get(at) == Some(&0xff) && content.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        if done || content.get(at) != Some(&0xff) {
            return None;
        }
        let marker = *content.get(at + 1)?;
        let length = usize::from(u16::from_be_bytes([*content.get(at + 2)?, *content.get(at + 3)?]));
        let segment = content.get(at + 4..at + 2 + length.max(2))?;
        at += 2 + length.max(2);
        done = marker == 0xda;
        Some((marker, segment))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of 3 x 2 pixels, then a scan of two bytes.
    const HEAD: &[u8] = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2\x00\x08\x08\x00\x02\x00\x03\x01\xff\xda\x00\x03\x01xy";

    #[test]
    fn segments_are_walked_to_the_scan() {
        let markers: Vec<u8> = segments(HEAD).map(|(marker, _)| marker).collect();
        assert_eq!(markers, [0xe0, 0xc2, 0xda]);
        assert_eq!(jpeg_frame(HEAD), Some((3, 2)));
        assert_eq!(segments(&HEAD[..12]).count(), 1);
        assert_eq!(jpeg_frame(b"\xff\xd8\xff"), None);
    }

    #[test]
    fn a_whole_file_has_an_end_behind_its_scan() {
        assert!(!is_whole(HEAD));
        assert!(is_whole(&[HEAD, b"\xff\xd9"].concat()));
        assert!(!is_whole(b"\xff\xd8\xff\xe0\x00\x04\xff\xd9\xff\xda"));
    }

    #[test]
    fn what_is_no_image_says_why() {
        let reason = |content: &[u8]| decode(content, 100).err().map(|error| error.text).unwrap_or_default();
        assert_eq!(reason(b"GIF89a"), "it is neither PNG nor JPEG");
        assert!(reason(HEAD).starts_with(DAMAGED));
        assert!(reason(PNG).starts_with(DAMAGED));
    }
}
