package flow

// index finds slots by the hash of their keys: an open-addressing hash table
// with linear probing. It holds 32 bits of each hash beside the slot, so that
// a look-up reads one place of the index and then the one entry it is after,
// and growing reads no entry at all. Its zero value is empty.
type index struct {
	places []place // a power of two, at most three quarters full
	count  int
}

// place is one place of an index. It is free if ref is none.
type place struct {
	hash uint32
	ref  ref
}

const firstPlaces = 16

func (x *index) mask() uint32 { return uint32(len(x.places) - 1) }

// add enters the slot r under h.
func (x *index) add(h uint32, r ref) {
	if 4*(x.count+1) > 3*len(x.places) {
		x.grow()
	}
	x.put(place{h, r})
	x.count++
}

func (x *index) put(p place) {
	i := p.hash & x.mask()
	for x.places[i].ref != none {
		i = (i + 1) & x.mask()
	}
	x.places[i] = p
}

func (x *index) grow() {
	old := x.places
	x.places = make([]place, max(2*len(old), firstPlaces))
	for _, p := range old {
		if p.ref != none {
			x.put(p)
		}
	}
}

// remove takes out the slot r, which was added under h. Those that follow
// move up, so that no search ends too early.
func (x *index) remove(h uint32, r ref) {
	i := h & x.mask()
	for x.places[i].ref != r {
		i = (i + 1) & x.mask()
	}
	x.count--
	for j := (i + 1) & x.mask(); x.places[j].ref != none; j = (j + 1) & x.mask() {
		// What stands at j may move to i if i is not before its home.
		if home := x.places[j].hash & x.mask(); (j-home)&x.mask() >= (j-i)&x.mask() {
			x.places[i] = x.places[j]
			i = j
		}
	}
	x.places[i] = place{}
}
