//! Images of another size, pixel by pixel those of Pillow's `Image.resize`: its filters, its two passes, and its
//! rounding to whole numbers after each (libImaging/Resample.c and Geometry.c, as of Pillow 13).

use std::f64::consts::PI;

use super::picture::Picture;
use crate::core::manifest::preprocess::{Filter, Way};

/// Weights are whole numbers of that many bits behind the point: 8 are those of a pixel, two are for sums beyond one.
const BITS: u32 = 32 - 8 - 2;

impl Filter {
    /// How far it reaches.
    fn support(self) -> f64 {
        match self {
            Filter::Nearest => 0.0,
            Filter::Box => 0.5,
            Filter::Linear | Filter::Hamming => 1.0,
            Filter::Cubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        let far = x.abs();
        match self {
            Filter::Nearest => 0.0,
            Filter::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Filter::Linear => (1.0 - far).max(0.0),
            Filter::Hamming if far == 0.0 => 1.0,
            Filter::Hamming if far < 1.0 => {
                let angle = far * PI;
                angle.sin() / angle * (0.54 + 0.46 * angle.cos())
            }
            Filter::Cubic if far < 1.0 => ((-0.5 + 2.0) * far - (-0.5 + 3.0)) * far * far + 1.0,
            Filter::Cubic if far < 2.0 => (((far - 5.0) * far + 8.0) * far - 4.0) * -0.5,
            Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let angle = x * PI;
    angle.sin() / angle
}

pub fn resized(image: Picture, height: usize, width: usize, Way { filter, across: columns_first }: Way) -> Picture {
    if (image.height, image.width) == (height, width) {
        return image;
    }
    if filter == Filter::Nearest {
        return nearest(&image, height, width);
    }
    if !columns_first && is_flattened((image.height, image.width), height, width) {
        across(down(image, height, filter), width, filter)
    } else {
        down(across(image, width, filter), height, filter)
    }
}

/// The size of what the first pass makes.
pub fn between(from: (usize, usize), height: usize, width: usize, way: Way) -> (usize, usize) {
    let flattened = !way.across && is_flattened(from, height, width);
    if flattened { (height, from.1) } else { (from.0, width) }
}

/// Whether Pillow reduces the rows first, because it is cheaper.
fn is_flattened((old_height, old_width): (usize, usize), height: usize, width: usize) -> bool {
    let lost = |from: usize, to: usize| from as i64 - to as i64;
    lost(old_height, height) > 0 && lost(old_height, height) > 2 * lost(old_width, width)
}

/// For each place of the result, the first of the places that it is made of, and their weights.
struct Weights(Vec<(usize, Vec<i32>)>);

impl Weights {
    fn of(length: usize, result: usize, filter: Filter) -> Weights {
        let scale = length as f64 / result as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let one = |place: usize| {
            let center = (place as f64 + 0.5) * scale;
            let first = ((center - support + 0.5) as i64).max(0) as usize;
            let last = ((center + support + 0.5) as i64).max(0) as usize;
            let weight = |at: usize| filter.at((at as f64 - center + 0.5) * (1.0 / stretch));
            let weights: Vec<f64> = (first..last.min(length)).map(weight).collect();
            let total = weights.iter().fold(0.0, |sum, weight| sum + weight);
            (first, weights.iter().map(|weight| whole(if total == 0.0 { *weight } else { weight / total })).collect())
        };
        Weights((0..result).map(one).collect())
    }
}

fn whole(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

fn clipped(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

fn across(image: Picture, width: usize, filter: Filter) -> Picture {
    if image.width == width {
        return image;
    }
    let (weights, channels) = (Weights::of(image.width, width, filter), image.channels);
    let mut data = Vec::with_capacity(image.height * width * channels);
    for row in image.data.chunks_exact(image.width * channels) {
        for (first, weights) in &weights.0 {
            let mut sums = [1 << (BITS - 1); 3];
            for (pixel, weight) in row[first * channels..].chunks_exact(channels).zip(weights) {
                pixel.iter().zip(&mut sums).for_each(|(value, sum)| *sum += i32::from(*value) * weight);
            }
            data.extend(sums[..channels].iter().map(|sum| clipped(*sum)));
        }
    }
    Picture { width, data, ..image }
}

fn down(image: Picture, height: usize, filter: Filter) -> Picture {
    if image.height == height {
        return image;
    }
    let weights = Weights::of(image.height, height, filter);
    let length = image.width * image.channels;
    let mut data = Vec::with_capacity(height * length);
    let mut sums = vec![0; length];
    for (first, weights) in &weights.0 {
        sums.fill(1 << (BITS - 1));
        for (row, weight) in image.data[first * length..].chunks_exact(length).zip(weights) {
            row.iter().zip(&mut sums).for_each(|(value, sum)| *sum += i32::from(*value) * weight);
        }
        data.extend(sums.iter().map(|sum| clipped(*sum)));
    }
    Picture { height, data, ..image }
}

fn nearest(image: &Picture, height: usize, width: usize) -> Picture {
    let (rows, columns) = (places(image.height, height), places(image.width, width));
    let channels = image.channels;
    let mut data = Vec::with_capacity(height * width * channels);
    for y in rows {
        for x in &columns {
            let at = (y * image.width + x) * channels;
            data.extend_from_slice(&image.data[at..at + channels]);
        }
    }
    Picture { height, width, channels, data }
}

/// Where each place of the result comes from; Pillow adds up the steps between them.
fn places(length: usize, result: usize) -> Vec<usize> {
    let step = length as f64 / result as f64;
    let mut at = step * 0.5;
    let mut found = Vec::with_capacity(result);
    for _ in 0..result {
        found.push((at as usize).min(length - 1));
        at += step;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(height: usize, width: usize) -> Picture {
        let data = (0..height * width * 3).map(|i| (i * 37 % 256) as u8).collect();
        Picture { height, width, channels: 3, data }
    }

    #[test]
    fn every_filter_keeps_one_colour() {
        for name in ["nearest", "lanczos", "linear", "cubic", "box", "hamming"] {
            let one = Picture { height: 5, width: 7, channels: 1, data: vec![200; 35] };
            let image = resized(one, 11, 3, Way::named(name).unwrap());
            assert_eq!((image.height, image.width), (11, 3));
            assert!(image.data.iter().all(|value| *value == 200), "{name}");
        }
        assert_eq!(Way::named("bilinear"), None);
        assert_eq!(Way::named("cubic across"), Some(Way { filter: Filter::Cubic, across: true }));
    }

    #[test]
    fn weights_are_those_of_pillow() {
        assert_eq!(Weights::of(4, 2, Filter::Linear).0[0], (0, vec![1797559, 1797559, 599186]));
        assert_eq!(places(5, 3), [0, 2, 4]);
    }

    #[test]
    fn an_image_of_that_size_stays_as_it_is() {
        let way = |name| Way::named(name).unwrap();
        assert_eq!(resized(ramp(3, 4), 3, 4, way("cubic")).data, ramp(3, 4).data);
        assert_eq!(resized(ramp(1, 1), 2, 2, way("lanczos")).data, ramp(1, 1).data.repeat(4));
    }

    #[test]
    fn the_order_of_the_passes_shows() {
        let tall = |name| resized(ramp(90, 9), 7, 40, Way::named(name).unwrap()).data;
        assert_ne!(tall("cubic"), tall("cubic across"));
        let wide = |name| resized(ramp(9, 90), 40, 7, Way::named(name).unwrap()).data;
        assert_eq!(wide("cubic"), wide("cubic across"));
    }
}
