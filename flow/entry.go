package flow

// Entry is what a Table holds for a key. Its exported fields may be changed
// by the function that Update or Upsert calls.
//
// With a value of 8 bytes an entry takes 64, which is a cache line.
type Entry[V any] struct {
	key Key // tagged; zero: the slot is free

	// Expires is when the entry is gone, on the caller's clock.
	Expires int64

	tick  uint16     // of the last use
	share shareIndex // of the peer that the entry is charged to
	// passed belongs to the slot, whatever is in it: in the first slot of a
	// pair it is the number of entries that passed by, because the pair was
	// full, and stand in a later one. It stays at maxPassed once it is there.
	overflow uint8
	list   uint8 // of use that the entry is in

	// Yields: the entry is evicted before all that do not yield. An entry
	// that is charged to a peer begins so; once it does not yield, it is not
	// charged any more. For Update, a change of it or of Rank is one of the
	// entry: Changed.
	EvictFirst bool
	// Rank orders those that yield, and those that do not: lower ranks are
	// evicted first. Less than Ranks.
	Rank uint8

	// Value is the caller's.
	Value V
}

const maxOverflow = 0xff

// Key returns the key of the entry.
func (e *Entry[V]) Key() Key { return e.key.untagged() }

// live reports whether there is an entry in the slot.
func (e *Entry[V]) live() bool { return e.key.rest != 0 }

// class is the class that the entry was made in.
func (e *Entry[V]) class() uint8 { return e.list % MaxClasses }

// Lists of use are numbered by groups, in the order in which these are
// evicted, and in a group by classes.
const (
	evictFirstGroups = Ranks
	groups         = 2 * Ranks
	lists          = groups * MaxClasses
)

func listOf(group, class uint8) uint8 { return group*MaxClasses + class }

// listed is the number of the list that e belongs into.
func (e *Entry[V]) targetList() uint8 {
	group := e.Rank
	if !e.EvictFirst {
		group += evictFirstGroups
	}
	return listOf(group, e.class())
}

// moves reports whether the action a asks for more than to leave e where it
// is.
func (e *Entry[V]) needsUpdate(a Action, now int64) bool {
	return a > Leave || a == Touch && e.tick != tickOf(now)
}

// relists reports whether e, if it stays, gets a new place in a list.
func (e *Entry[V]) changesList(a Action, now int64) bool {
	return e.list != e.targetList() || a&^Changed == Touch && e.tick != tickOf(now)
}

// Claim says for whom a new entry asks for a place.
type Claim struct {
	// Class is less than MaxClasses, and stays the entry's.
	Class uint8
	// Peer is who the entry is charged to. With one, the entry yields; zero:
	// it is the host's.
	Peer PeerID
}

// list is the number of the list that the new entry begins in.
func (c Claim) list() uint8 {
	if c.Peer != 0 {
		return listOf(0, c.Class)
	}
	return listOf(evictFirstGroups, c.Class)
}
