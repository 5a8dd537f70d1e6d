package fragqueue

import (
	"container/heap"

	"tstun/flow"
)

// peer is what a peer has of the queue.
type peer struct {
	id     flow.PeerID
	bytes  int       // with overhead, and with what Take has handed over
	place  int       // in peers.heap
	oldest *datagram // of a list by expiry: its datagrams
	newest *datagram
}

func (p *peer) add(d *datagram) {
	d.olderOfPeer = p.newest
	if p.newest == nil {
		p.oldest = d
	} else {
		p.newest.newerOfPeer = d
	}
	p.newest = d
}

func (p *peer) remove(d *datagram) {
	if d.newerOfPeer == nil {
		p.newest = d.olderOfPeer
	} else {
		d.newerOfPeer.olderOfPeer = d.olderOfPeer
	}
	if d.olderOfPeer == nil {
		p.oldest = d.newerOfPeer
	} else {
		d.olderOfPeer.newerOfPeer = d.newerOfPeer
	}
}

// peers is the peers that have anything. The zero value has none.
type peers struct {
	byID map[flow.PeerID]*peer
	heap peerHeap
}

// of returns the peer, which is there until charge takes its last byte.
func (s *peers) of(id flow.PeerID) *peer {
	p := s.byID[id]
	if p == nil {
		if s.byID == nil {
			s.byID = make(map[flow.PeerID]*peer)
		}
		p = &peer{id: id}
		s.byID[id] = p
		heap.Push(&s.heap, p)
	}
	return p
}

func (s *peers) bytesOf(id flow.PeerID) int {
	if p := s.byID[id]; p != nil {
		return p.bytes
	}
	return 0
}

// most returns the peer that has most. There must be one.
func (s *peers) most() *peer { return s.heap[0] }

// charge gives the peer so many bytes more.
func (s *peers) charge(p *peer, n int) {
	p.bytes += n
	if p.bytes == 0 {
		heap.Remove(&s.heap, p.place)
		delete(s.byID, p.id)
		return
	}
	heap.Fix(&s.heap, p.place)
}

// peerHeap is a heap.Interface with the peer on top that has most.
type peerHeap []*peer

func (h peerHeap) Len() int           { return len(h) }
func (h peerHeap) Less(i, j int) bool { return h[i].bytes > h[j].bytes }

func (h peerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *peerHeap) Push(x any) {
	p := x.(*peer)
	p.place = len(*h)
	*h = append(*h, p)
}

func (h *peerHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return p
}
