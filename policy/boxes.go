package policy

// box is all flows of some protocols and ports, from some sources to some
// destinations, that one side alone allows. Boxes do not overlap.
type box struct {
	side side
	dims [4]int // indices into differ.lists
}

// Dimensions of a box.
const (
	dimProtos = iota
	dimPorts
	dimSrc
	dimDst
)

// orders are those in which dimensions are merged. Which gives fewest boxes
// depends on the boxes.
var orders = [][]int{
	{dimProtos, dimPorts, dimSrc, dimDst},
	{dimProtos, dimPorts, dimDst, dimSrc},
	{dimSrc, dimDst, dimProtos, dimPorts},
	{dimDst, dimSrc, dimProtos, dimPorts},
}

// maxSplit is how many boxes are split by ports to find better ones: nobody
// reads more.
const maxSplit = 1 << 14

// merged returns d.boxes as few boxes, of the few kinds that were tried.
func (d *differ) merged() ([]box, error) {
	// Neighbours are of one class of destinations, so this shrinks them fast.
	boxes, err := d.merge(d.boxes, dimProtos)
	if err != nil {
		return nil, err
	}
	starts := [][]box{boxes}
	if len(d.boxes) <= maxSplit {
		split, err := d.split()
		if err != nil {
			return nil, err
		}
		starts = append(starts, split)
	}
	var best []box
	for _, start := range starts {
		for _, order := range orders {
			got, err := d.mergeAll(start, order)
			if err != nil {
				return nil, err
			}
			if best == nil || d.length(got) < d.length(best) {
				best = got
			}
		}
	}
	return best, nil
}

// length is about how long a text about the boxes is.
func (d *differ) length(boxes []box) int {
	n := 0
	for _, b := range boxes {
		for _, list := range b.dims {
			n += 1 + len(d.lists[list])
		}
	}
	return n
}

// split cuts d.boxes by ports, all in the same places, so that parts of boxes
// can go together. Each of d.boxes has protocols with ports, or without: the
// latter stay whole.
func (d *differ) split() ([]box, error) {
	of := make(map[int]int) // the set of a list of ports
	var sets [][]span
	for _, b := range d.boxes {
		list := b.dims[dimPorts]
		if _, ok := of[list]; !ok {
			of[list] = len(sets)
			sets = append(sets, d.lists[list])
		}
	}
	classes, members, err := partition(sets, d.work)
	if err != nil {
		return nil, err
	}
	var all []box
	for _, b := range d.boxes {
		if !overlap(d.lists[b.dims[dimProtos]], withPorts) {
			all = append(all, b)
			continue
		}
		in := members[of[b.dims[dimPorts]]]
		if !d.work.take(len(in)) {
			return nil, ErrTooLarge
		}
		for _, c := range in {
			b.dims[dimPorts] = d.list(classes[c])
			all = append(all, b)
		}
	}
	return all, nil
}

// mergeAll merges in all dimensions until nothing more merges.
func (d *differ) mergeAll(boxes []box, order []int) ([]box, error) {
	for {
		before := len(boxes)
		for _, dim := range order {
			var err error
			if boxes, err = d.merge(boxes, dim); err != nil {
				return nil, err
			}
		}
		if len(boxes) == before {
			return boxes, nil
		}
	}
}

// merge makes one of the boxes that differ in one dimension only.
func (d *differ) merge(boxes []box, dim int) ([]box, error) {
	alike := newGroups[box, int]() // lists in that dimension
	for _, b := range boxes {
		if !d.work.take(2) {
			return nil, ErrTooLarge
		}
		list := b.dims[dim]
		b.dims[dim] = 0
		alike.add(b, list)
	}
	all := make([]box, 0, len(alike.keys))
	for b, lists := range alike.all() {
		var err error
		if b.dims[dim], err = d.union(lists); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// union returns the list of what is in any of the lists.
func (d *differ) union(lists []int) (int, error) {
	if len(lists) == 1 {
		return lists[0], nil
	}
	var spans []span
	for _, list := range lists {
		if !d.work.take(1 + len(d.lists[list])) {
			return 0, ErrTooLarge
		}
		spans = append(spans, d.lists[list]...)
	}
	return d.list(normal(spans)), nil
}

// change returns a box as a Change.
func (d *differ) change(b box) Change {
	list := func(dim int) []span { return d.lists[b.dims[dim]] }
	return Change{
		Allowed: b.side == inNew, Protos: protosOf(list(dimProtos)), Ports: portsOfSpans(list(dimPorts)),
		Srcs: rangesOf(list(dimSrc), d.version), Dsts: rangesOf(list(dimDst), d.version),
	}
}
