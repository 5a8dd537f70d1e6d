package flow

// Entry is what a Table holds for a key. The function that Update or Upsert calls
// may change its exported fields.
//
// With a value of 8 bytes an entry takes 64 bytes, which is a cache line.
type Entry[V any] struct {
	key Key // tagged; zero: the slot is free

	// Expires is when the entry expires, on the caller's clock.
	Expires int64

	tick  uint16     // of the last use
	share shareIndex // of the peer that the entry is charged to
	// overflow belongs to the slot, whatever is in it. In the first slot of a
	// pair it counts the entries that are in a later pair because this one was
	// full. At maxOverflow it stays.
	overflow uint8
	list     uint8 // of use that the entry is in

	// EvictFirst: the entry is evicted before all entries without EvictFirst.
	// It is set in a new entry that is charged to a peer; when it is cleared,
	// the entry is no longer charged. Update takes a change of it or of Rank
	// for Changed.
	EvictFirst bool
	// Rank, less than Ranks, orders the entries with EvictFirst, and those
	// without: lower ranks are evicted first.
	Rank uint8

	// Value is the caller's.
	Value V
}

const maxOverflow = 0xff

// Key returns the key of the entry.
func (e *Entry[V]) Key() Key { return e.key.untagged() }

// live reports whether there is an entry in the slot.
func (e *Entry[V]) live() bool { return e.key.rest != 0 }

// class returns the class that the entry was made with.
func (e *Entry[V]) class() uint8 { return e.list % MaxClasses }

// Lists of use are numbered by groups, and within a group by classes. Groups are
// evicted in ascending order.
const (
	evictFirstGroups = Ranks
	groups           = 2 * Ranks
	lists            = groups * MaxClasses
)

func listOf(group, class uint8) uint8 { return group*MaxClasses + class }

// targetList returns the number of the list that e belongs in.
func (e *Entry[V]) targetList() uint8 {
	group := e.Rank
	if !e.EvictFirst {
		group += evictFirstGroups
	}
	return listOf(group, e.class())
}

// needsUpdate reports whether the action a may change the place of e in the table,
// its charge, or its validity for stamps.
func (e *Entry[V]) needsUpdate(a Action, now int64) bool {
	return a > Leave || a == Touch && e.tick != tickOf(now)
}

// changesList reports whether e, if it stays, gets a new place in a list.
func (e *Entry[V]) changesList(a Action, now int64) bool {
	return e.list != e.targetList() || a&^Changed == Touch && e.tick != tickOf(now)
}

// Claim says for whom a new entry is.
type Claim struct {
	// Class is less than MaxClasses, and stays the entry's.
	Class uint8
	// Peer is whom the entry is charged to. If it is not zero, the entry has
	// EvictFirst. If it is zero, the entry is the host's.
	Peer PeerID
}

// list returns the number of the list that the new entry goes into.
func (c Claim) list() uint8 {
	if c.Peer != 0 {
		return listOf(0, c.Class)
	}
	return listOf(evictFirstGroups, c.Class)
}
