//! Folded stacks as a tree of calls: what is too small to be seen is merged into its caller.
//!
//! Invariant: the weight of a node is its own and that of its children; merging moves weight and loses none.

use super::fold::Folded;
use super::symbol::{Layer, show};
use std::collections::{BTreeMap, BTreeSet};

/// A call in a certain place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its short name.
    pub name: String,
    /// Its layer.
    pub layer: Layer,
    /// What it took, with what it called.
    pub weight: u64,
    /// What it called, the largest first.
    pub children: Vec<Node>,
    /// The last of the calls in a row that are shown as this one.
    pub through: Option<String>,
}

/// A stack as it is shown: names and layers, from the thread inwards.
pub type Stack = Vec<(String, Layer)>;

/// Stacks as they are shown, with their weights.
pub fn shown(folded: &Folded) -> Vec<(Stack, u64)> {
    folded.stacks.iter().map(|(frames, weight)| (stack(frames), *weight)).collect()
}

fn stack(frames: &[String]) -> Stack {
    let Some((thread, calls)) = frames.split_first() else { return Vec::new() };
    let mut stack = vec![(thread.clone(), Layer::Runtime)];
    for (i, frame) in calls.iter().enumerate() {
        let Some(shown) = show(frame, i + 1 == calls.len()) else { continue };
        let caller = stack.last().map_or(Layer::Runtime, |(_, layer)| *layer);
        let frame = (shown.name, shown.layer.unwrap_or(caller));
        // A closure and its function, or a call of itself, are one.
        if stack.last() != Some(&frame) {
            stack.push(frame);
        }
    }
    stack
}

#[derive(Default)]
struct Growing {
    weight: u64,
    children: BTreeMap<(String, Layer), Growing>,
}

/// The tree of all stacks.
pub fn grow(stacks: &[(Stack, u64)]) -> Node {
    let mut root = Growing::default();
    for (stack, weight) in stacks {
        root.weight += weight;
        let mut at = &mut root;
        for frame in stack {
            at = at.children.entry(frame.clone()).or_default();
            at.weight += weight;
        }
    }
    finished(("all".to_owned(), Layer::Runtime), root)
}

fn finished((name, layer): (String, Layer), grown: Growing) -> Node {
    let mut children: Vec<Node> =
        grown.children.into_iter().map(|(key, child)| finished(key, child)).collect();
    children.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
    Node { name, layer, weight: grown.weight, children, through: None }
}

impl Node {
    /// Merges calls below a share of the whole into their callers, and rows of calls of which each only leads to the
    /// next: in the kernel and the runtime, whose inner steps are not ours.
    pub fn prune(&mut self, share: f64) {
        let least = self.weight as f64 * share;
        self.cut(least);
        self.children.iter_mut().for_each(Node::join);
    }

    fn cut(&mut self, least: f64) {
        self.children.retain(|child| child.weight as f64 >= least);
        self.children.iter_mut().for_each(|child| child.cut(least));
    }

    fn join(&mut self) {
        let is_foreign = matches!(self.layer, Layer::Kernel | Layer::Runtime);
        while let [only] = self.children.as_mut_slice()
            && is_foreign
            && only.layer == self.layer
            && only.weight as f64 >= 0.9 * self.weight as f64
        {
            self.through = Some(only.through.take().unwrap_or_else(|| std::mem::take(&mut only.name)));
            self.children = std::mem::take(&mut only.children);
        }
        self.children.iter_mut().for_each(Node::join);
    }

    /// How many calls stand above each other, this one included.
    pub fn height(&self) -> usize {
        1 + self.children.iter().map(Node::height).max().unwrap_or(0)
    }
}

/// What each layer took, and the calls in which it took most of that, the largest first.
pub struct Shares {
    /// Weight of all.
    pub all: u64,
    /// For each layer of [`Layer::ALL`]: weight and calls.
    pub layers: Vec<(u64, Vec<(String, u64)>)>,
}

/// A call with more than this share of its layer is only the way to those that say something.
const TRUNK: f64 = 0.6;

impl Shares {
    /// Of stacks as they are shown: a layer has what its own calls took, without what they called in others.
    pub fn of(stacks: &[(Stack, u64)]) -> Shares {
        let all = stacks.iter().map(|(_, weight)| weight).sum();
        let layers = Layer::ALL.into_iter().map(|layer| {
            let runs: Vec<(&[(String, Layer)], u64)> = stacks
                .iter()
                .filter(|(stack, _)| stack.last().is_some_and(|(_, last)| *last == layer))
                .map(|(stack, weight)| (run(stack, layer), *weight))
                .collect();
            (runs.iter().map(|(_, weight)| weight).sum(), calls(&runs, layer))
        });
        Shares { all, layers: layers.collect() }
    }

    /// A weight in percent of the whole.
    pub fn percent(&self, weight: u64) -> f64 {
        weight as f64 / self.all.max(1) as f64 * 100.0
    }

    /// A layer's percent.
    pub fn of_layer(&self, layer: Layer) -> f64 {
        self.percent(self.layers[layer.place()].0)
    }
}

/// The calls of one layer at the end of a stack.
fn run(stack: &[(String, Layer)], layer: Layer) -> &[(String, Layer)] {
    let length = stack.iter().rev().take_while(|(_, other)| *other == layer).count();
    &stack[stack.len() - length..]
}

/// The calls by which a layer was entered; one that has nearly all of it makes way for those that it called. A call of
/// the system is what it is called by, whatever the kernel does for it.
fn calls(runs: &[(&[(String, Layer)], u64)], layer: Layer) -> Vec<(String, u64)> {
    let all: u64 = runs.iter().map(|(_, weight)| weight).sum();
    let mut trunks: BTreeSet<&[(String, Layer)]> = BTreeSet::new();
    loop {
        let mut groups: BTreeMap<&[(String, Layer)], u64> = BTreeMap::new();
        for (run, weight) in runs {
            let length = (1..run.len()).find(|length| !trunks.contains(&run[..*length])).unwrap_or(run.len());
            *groups.entry(&run[..length]).or_default() += weight;
        }
        let is_trunk = |(path, weight): &(&&[(String, Layer)], &u64)| {
            let leads_on = runs.iter().any(|(run, _)| run.len() > path.len() && run.starts_with(path));
            **weight as f64 > TRUNK * all as f64 && leads_on && !trunks.contains(**path)
        };
        match groups.iter().find(is_trunk).filter(|_| layer != Layer::Kernel) {
            Some((path, _)) => trunks.insert(path),
            None => return named(groups),
        };
    }
}

/// By name, the largest first.
fn named(groups: BTreeMap<&[(String, Layer)], u64>) -> Vec<(String, u64)> {
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for (path, weight) in groups {
        *names.entry(path.last().map_or("", |(name, _)| name)).or_default() += weight;
    }
    let mut names: Vec<(String, u64)> =
        names.into_iter().map(|(name, weight)| (name.to_owned(), weight)).collect();
    names.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks(text: &str) -> Vec<(Stack, u64)> {
        shown(&Folded::parse(text).unwrap())
    }

    const TEXT: &str = "w;clone3;arqon_ws::s::S::poll;arqon_wire::d::D::decode;memmove 60\n\
        w;clone3;arqon_ws::s::S::poll;arqon_ws::s::S::poll::{{closure}} 10\n\
        w;clone3;arqon_ws::s::S::poll;__send;do_syscall_64_[k];__x64_sys_sendto_[k];sock_sendmsg_[k];tcp_a_[k] 25\n\
        w;clone3;arqon_ws::s::S::poll;arqon_core::b::B::rare 1\n\
        c;clone3;arqon_store_embedded::l::E::commit 4\n";

    #[test]
    fn what_is_small_is_merged_and_nothing_is_lost() {
        let mut tree = grow(&stacks(TEXT));
        assert_eq!((tree.weight, tree.height()), (100, 6));
        tree.prune(0.02);
        let worker = &tree.children[0];
        let poll = &worker.children[0];
        assert_eq!((worker.name.as_str(), poll.name.as_str(), poll.weight), ("w", "S::poll", 96));
        let names: Vec<&str> = poll.children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["D::decode", "sendto"], "the rare call is merged, the closure is its function");
        let sendto = &poll.children[1];
        assert_eq!((sendto.through.as_deref(), sendto.children.len()), (Some("tcp_a"), 0));
        assert_eq!((tree.children[1].name.as_str(), tree.children[1].weight), ("c", 4));
    }

    #[test]
    fn layers_have_what_is_their_own() {
        let shares = Shares::of(&stacks(TEXT));
        let of = |layer| shares.of_layer(layer).round() as u32;
        assert_eq!(
            [Layer::Kernel, Layer::Socket, Layer::Codec, Layer::Core, Layer::Log].map(of),
            [25, 10, 60, 1, 4]
        );
        assert_eq!(shares.layers[Layer::Kernel.place()].1, [("sendto".to_owned(), 25)]);
        assert_eq!(shares.layers[Layer::Codec.place()].1[0].0, "memmove", "copying is its caller's layer");
    }

    #[test]
    fn a_layer_names_what_says_something() {
        let text = "c;arqon_store_embedded::t::C::run 2\n\
            c;arqon_store_embedded::t::C::run;arqon_store_embedded::e::E::encode 30\n\
            c;arqon_store_embedded::t::C::run;arqon_store_embedded::e::E::write;crc32c::crc32c 50\n";
        let shares = Shares::of(&stacks(text));
        let named = |name: &str, weight| (name.to_owned(), weight);
        let expected = [named("crc32c::crc32c", 50), named("E::encode", 30), named("C::run", 2)];
        assert_eq!(
            shares.layers[Layer::Log.place()].1,
            expected,
            "not the thread's loop, which has all of it"
        );
    }
}
