package proxy

import (
	"container/list"
	"context"
	"slices"
	"sync"
)

// maxWaiting is how many datagrams wait while an outlet opens.
const maxWaiting = 16

// outlets sends datagrams to where a key says, which takes a time to find out:
// a name to resolve, a client's own socket to open. It keeps the max outlets
// that were used last.
type outlets[K comparable] struct {
	max int
	// run opens the outlet of key, calls ready with its function, and returns
	// when the outlet is over, at the end of ctx at the latest.
	run func(ctx context.Context, key K, ready func(send func([]byte)))

	mu      sync.Mutex          // guards what follows
	byKey   map[K]*list.Element // of recent
	recent  list.List           // of *outlet[K], last used first
	running sync.WaitGroup
}

type outlet[K comparable] struct {
	key    K
	cancel context.CancelFunc

	mu      sync.Mutex   // guards what follows
	send    func([]byte) // nil while it opens
	waiting [][]byte
}

// send passes data on, and keeps no part of it. It drops data when too much
// waits for the outlet. Calls are not concurrent.
func (o *outlets[K]) send(ctx context.Context, key K, data []byte) {
	o.outlet(ctx, key).pass(data)
}

// outlet returns the outlet of key. A new one takes the place of the one whose
// last datagram is the oldest.
func (o *outlets[K]) outlet(ctx context.Context, key K) *outlet[K] {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.byKey[key]; ok {
		o.recent.MoveToFront(e)
		return e.Value.(*outlet[K])
	}
	if o.recent.Len() == o.max {
		o.removeLocked(o.recent.Back())
	}
	ctx, cancel := context.WithCancel(ctx)
	out := &outlet[K]{key: key, cancel: cancel}
	e := o.recent.PushFront(out)
	if o.byKey == nil {
		o.byKey = make(map[K]*list.Element)
	}
	o.byKey[key] = e
	o.running.Go(func() {
		o.run(ctx, key, out.ready)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.removeLocked(e)
	})
	return out
}

// removeLocked forgets an outlet, unless that is done already.
func (o *outlets[K]) removeLocked(e *list.Element) {
	out := e.Value.(*outlet[K])
	out.cancel()
	if o.byKey[out.key] == e {
		delete(o.byKey, out.key)
		o.recent.Remove(e)
	}
}

// wait returns when all outlets are over, after their context has ended.
func (o *outlets[K]) wait() { o.running.Wait() }

// pass sends data, or keeps a copy until the outlet is ready.
func (o *outlet[K]) pass(data []byte) {
	o.mu.Lock()
	send := o.send
	if send == nil && len(o.waiting) < maxWaiting {
		o.waiting = append(o.waiting, slices.Clone(data))
	}
	o.mu.Unlock()
	if send != nil {
		send(data)
	}
}

// ready sends what waits, in order, and lets the next datagrams through.
func (o *outlet[K]) ready(send func([]byte)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, data := range o.waiting {
		send(data)
	}
	o.waiting, o.send = nil, send
}
