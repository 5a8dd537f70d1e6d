package tstun

import (
	"container/heap"

	"tstun/flow"
)

// heldPeer is what a peer has of the held fragments.
type heldPeer struct {
	id     flow.PeerID
	bytes  int           // with overhead, and with what batches have in hand
	place  int           // in heldPeers.heap
	oldest *heldDatagram // of a list by until: its datagrams that wait
	newest *heldDatagram
}

func (p *heldPeer) add(d *heldDatagram) {
	d.olderOfPeer = p.newest
	if p.newest == nil {
		p.oldest = d
	} else {
		p.newest.newerOfPeer = d
	}
	p.newest = d
}

func (p *heldPeer) remove(d *heldDatagram) {
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

// heldPeers is the peers that have anything. The zero value has none.
type heldPeers struct {
	byID map[flow.PeerID]*heldPeer
	heap peerHeap
}

// of returns the peer, which is there until charge takes its last byte.
func (s *heldPeers) of(id flow.PeerID) *heldPeer {
	p := s.byID[id]
	if p == nil {
		if s.byID == nil {
			s.byID = make(map[flow.PeerID]*heldPeer)
		}
		p = &heldPeer{id: id}
		s.byID[id] = p
		heap.Push(&s.heap, p)
	}
	return p
}

func (s *heldPeers) bytesOf(id flow.PeerID) int {
	if p := s.byID[id]; p != nil {
		return p.bytes
	}
	return 0
}

// most returns the peer that has most. There must be one.
func (s *heldPeers) most() *heldPeer { return s.heap[0] }

// charge gives the peer so many bytes more.
func (s *heldPeers) charge(p *heldPeer, n int) {
	p.bytes += n
	if p.bytes == 0 {
		heap.Remove(&s.heap, p.place)
		delete(s.byID, p.id)
		return
	}
	heap.Fix(&s.heap, p.place)
}

// peerHeap is a heap.Interface with the peer on top that has most.
type peerHeap []*heldPeer

func (h peerHeap) Len() int           { return len(h) }
func (h peerHeap) Less(i, j int) bool { return h[i].bytes > h[j].bytes }

func (h peerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *peerHeap) Push(x any) {
	p := x.(*heldPeer)
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
