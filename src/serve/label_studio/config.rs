//! A project's labeling configuration: the tag to answer for, and its labels.

use super::super::problem::Problem;
use crate::shown;

/// Most labels: each is a pass over the query.
const MOST_LABELS: usize = 64;
/// Largest configuration, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// The kind of a tag's regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Brush,
    Polygon,
    Rectangle,
}

impl Kind {
    /// The most expressive first.
    const ALL: [(&'static str, Kind); 3] =
        [("BrushLabels", Kind::Brush), ("PolygonLabels", Kind::Polygon), ("RectangleLabels", Kind::Rectangle)];

    /// The type of a region, which is also the key of its labels.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Brush => "brushlabels",
            Kind::Polygon => "polygonlabels",
            Kind::Rectangle => "rectanglelabels",
        }
    }
}

/// The tags to answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub kind: Kind,
    /// The tag of the labels.
    pub from_name: String,
    /// The tag of the picture.
    pub to_name: String,
    /// The task's field that holds the picture's address.
    pub field: String,
    pub labels: Vec<String>,
}

impl Config {
    /// Parses a project's XML.
    pub fn new(text: &str) -> Result<Config, Problem> {
        let bad = |reason: String| Problem::bad(format!("the labeling configuration {reason}"));
        if text.len() > MOST_BYTES {
            return Err(bad(format!("has more than {MOST_BYTES} bytes")));
        }
        let document = roxmltree::Document::parse(text)
            .map_err(|error| bad(format!("is not XML: {}", shown::text(&error.to_string()))))?;
        let tags = || document.descendants().filter(|node| node.is_element());
        let control = Kind::ALL.iter().find_map(|(tag, kind)| {
            let node = tags().find(|node| node.has_tag_name(*tag))?;
            Some((node, *kind))
        });
        let (node, kind) = control.ok_or_else(|| {
            bad("has no BrushLabels, PolygonLabels or RectangleLabels; one of them must label the picture".into())
        })?;
        let attribute = |name: &str| {
            let missing = || bad(format!("has a tag {} without {name}", node.tag_name().name()));
            node.attribute(name).map(str::to_owned).ok_or_else(missing)
        };
        let (from_name, to_name) = (attribute("name")?, attribute("toName")?);
        let image = tags().find(|tag| tag.has_tag_name("Image") && tag.attribute("name") == Some(&to_name));
        let field = image.and_then(|tag| tag.attribute("value")?.strip_prefix('$'));
        let field = field.ok_or_else(|| {
            let to = shown::text(&to_name);
            bad(format!("has no Image called {to} whose value is a field of tasks, as $image"))
        })?;
        let labels: Vec<String> = node
            .descendants()
            .filter(|tag| tag.has_tag_name("Label"))
            .filter_map(|tag| tag.attribute("value").map(str::to_owned))
            .collect();
        if labels.is_empty() || labels.len() > MOST_LABELS {
            return Err(bad(format!("has {} labels; it must have 1 to {MOST_LABELS}", labels.len())));
        }
        Ok(Config { kind, from_name, to_name, field: field.to_owned(), labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_that_says_most_is_taken() {
        let text = r#"<View><Image name="img" value="$photo"/><Header value="x"/>
            <RectangleLabels name="r" toName="img"><Label value="dog"/></RectangleLabels>
            <BrushLabels name="b" toName="img"><Label value="cat"/><Label value="a &amp; b" background="red"/></BrushLabels></View>"#;
        let config = Config::new(text).unwrap();
        assert_eq!((config.kind, config.field.as_str(), config.from_name.as_str()), (Kind::Brush, "photo", "b"));
        assert_eq!(config.labels, ["cat", "a & b"]);
    }

    #[test]
    fn what_cannot_be_answered_is_told() {
        let cases = [
            ("", "not XML"),
            ("<View>", "not XML"),
            ("<View/>", "no BrushLabels"),
            ("<View><BrushLabels name='b'/></View>", "without toName"),
            ("<View><BrushLabels name='b' toName='x'><Label value='a'/></BrushLabels></View>", "no Image called x"),
            ("<View><Image name='x' value='$i'/><BrushLabels name='b' toName='x'/></View>", "0 labels"),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><View/>", "not XML"),
        ];
        for (text, part) in cases {
            let problem = Config::new(text).unwrap_err();
            assert!(problem.status == 400 && problem.detail.contains(part), "{text}: {}", problem.detail);
        }
        assert!(Config::new(&" ".repeat(MOST_BYTES + 1)).is_err());
    }
}
