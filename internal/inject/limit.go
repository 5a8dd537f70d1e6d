package inject

import (
	"math"
	"sync"
	"time"

	"tstun/flow"
)

const (
	// replyRoom is what the replies of the last replySpan may add up to, each
	// counting less the older it is: RFC 4443 §2.4(f) asks for a limit. A peer
	// alone gets half of it, which is 1,024 replies at once or a second.
	replyRoom = 2048
	replySpan = time.Second
	// peersKept is how many peers are told apart, more than had a reply in
	// the last replySpan.
	peersKept = 2 * replyRoom
)

// ReplyLimit limits the packets that peers provoke, and shares the limit out: a
// peer gets a reply while it has had fewer than there is room for, so that
// there is room for the next one however many ask (the rule of flow.Table). The
// zero value has given no reply. It may be used from any goroutine.
type ReplyLimit struct {
	mu    sync.Mutex // guards all below
	all   recent
	peers map[flow.PeerID]recent
}

// recent is a sum that decays: it falls to 1/e in replySpan.
type recent struct {
	sum float64
	at  int64
}

// decayed returns the sum at now.
func (r recent) decayed(now int64) float64 {
	if now <= r.at {
		return r.sum
	}
	return r.sum * math.Exp(float64(r.at-now)/float64(replySpan))
}

// Allow reports whether peer may get one more reply at now, in nanoseconds, and
// counts it.
func (l *ReplyLimit) Allow(peer flow.PeerID, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, had := l.all.decayed(now), l.peers[peer].decayed(now)
	if had+1 > replyRoom-all {
		return false
	}
	if l.peers == nil {
		l.peers = make(map[flow.PeerID]recent)
	}
	l.peers[peer] = recent{had + 1, now}
	if len(l.peers) > peersKept {
		l.forget(now)
	}
	l.all = recent{all + 1, now}
	return true
}

// forget drops the peers that had no reply lately.
func (l *ReplyLimit) forget(now int64) {
	for p, had := range l.peers {
		if had.decayed(now) < 0.5 {
			delete(l.peers, p)
		}
	}
}
