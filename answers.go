package tstun

import (
	"math"
	"sync"
	"time"

	"tstun/flow"
)

const (
	// answerRoom is what the answers of the last answerSpan may add up to, each
	// counting less the older it is: RFC 4443 §2.4(f) asks for a limit. A peer
	// alone gets half of it, which is 1,024 answers at once or a second.
	answerRoom = 2048
	answerSpan = time.Second
	// answeredPeers is how many peers are told apart, more than had an answer
	// in the last answerSpan.
	answeredPeers = 2 * answerRoom
)

// answerLimit limits the packets that peers provoke, and shares the limit out:
// a peer gets an answer while it has had fewer than there is room for, so that
// there is room for the next one however many ask (the rule of flow.Table).
type answerLimit struct {
	mu    sync.Mutex // guards all below
	all   recent
	peers map[flow.PeerID]recent
}

// recent is a sum that forgets: it falls to 1/e in answerSpan.
type recent struct {
	sum float64
	at  int64
}

// decayed returns the sum at now.
func (r recent) decayed(now int64) float64 {
	if now <= r.at {
		return r.sum
	}
	return r.sum * math.Exp(float64(r.at-now)/float64(answerSpan))
}

// allow reports whether p may get one more answer at now, and counts it.
func (l *answerLimit) allow(p flow.PeerID, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, had := l.all.decayed(now), l.peers[p].decayed(now)
	if had+1 > answerRoom-all {
		return false
	}
	if l.peers == nil {
		l.peers = make(map[flow.PeerID]recent)
	}
	l.peers[p] = recent{had + 1, now}
	if len(l.peers) > answeredPeers {
		l.forget(now)
	}
	l.all = recent{all + 1, now}
	return true
}

// forget drops the peers that had no answer lately.
func (l *answerLimit) forget(now int64) {
	for p, had := range l.peers {
		if had.decayed(now) < 0.5 {
			delete(l.peers, p)
		}
	}
}
