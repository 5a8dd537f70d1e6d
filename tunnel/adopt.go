package tunnel

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tstun/key"
)

// setByUser does what wg(8) or another program asks of the device, and lets the
// rest of the tunnel follow. As the protocol has it, lines before a bad one
// count.
func (t *Tunnel) setByUser(text string) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	if t.isClosed() {
		return nil
	}
	err := t.wg.IpcSet(text)
	t.adopt(askedIn(text))
	return err
}

// asked is what an operation says that the device's state does not tell apart
// from what happens by itself.
type asked struct {
	port      bool
	mark      *uint32
	endpoints map[key.Public]string
}

func askedIn(text string) asked {
	a := asked{endpoints: make(map[key.Public]string)}
	var who key.Public
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "public_key":
			who = key.PublicFromRaw32(rawKey(value))
		case "listen_port":
			a.port = true
		case "fwmark":
			n, _ := strconv.ParseUint(value, 10, 32)
			mark := uint32(n)
			a.mark = &mark
		case "endpoint":
			a.endpoints[who] = value
		}
	}
	return a
}

// adopt lets names, the Wrapper and the host's network follow what was asked of
// the device. Who calls it holds changing.
func (t *Tunnel) adopt(a asked) {
	s, err := stateOf(t.wg)
	if err != nil {
		t.logf("%v", err)
		return
	}
	old := t.now()
	next := t.adopted(old, s, a)
	all := t.changes(&old.Config, &next.Config)
	if len(all) == 0 {
		return
	}
	var texts []string
	for _, c := range all {
		texts = append(texts, c.text)
		t.logf("wg(8): %s", c.text)
	}
	next.unfollowed = nil
	for _, s := range append([]step{{"the peers' addresses", func() error { return t.setPeers(next) }, nil}}, t.networkSteps(old, next)...) {
		if err := s.do(); err != nil {
			text := fmt.Sprintf("What wg(8) changed is in force in WireGuard alone: %s: %v.", s.what, err)
			t.logf("warning: %s", text)
			next.unfollowed, texts = []string{text}, append(texts, text)
			break
		}
	}
	t.live.Store(next)
	t.emit(Event{Kind: ConfigChanged, Time: time.Now(), Text: strings.Join(texts, "; ")})
	t.tellChanged(old, next)
}

// adopted returns what is in force when the device has the state s.
func (t *Tunnel) adopted(old *live, s state, a asked) *live {
	next := *old
	next.PrivateKey, next.at, next.Peers = s.private, make(endpoints), nil
	if a.port {
		next.ListenPort = s.port
	}
	if a.mark != nil {
		next.FwMark = *a.mark
	}
	for i := range old.Peers {
		p := old.Peers[i]
		if is, there := s.peers[p.PublicKey]; there {
			delete(s.peers, p.PublicKey)
			next.adopt(p, is, old.at[p.PublicKey], a)
		}
	}
	var strangers []Peer
	for k := range s.peers {
		strangers = append(strangers, Peer{PublicKey: k})
	}
	slices.SortFunc(strangers, func(p, q Peer) int { return strings.Compare(p.PublicKey.String(), q.PublicKey.String()) })
	for _, p := range strangers {
		next.adopt(p, s.peers[p.PublicKey], netip.AddrPort{}, a)
	}
	next.ids = t.numbered(next.Peers, old.ids)
	return &next
}

// adopt adds p as the device has it. wasAt is where its endpoint was.
func (l *live) adopt(p Peer, is peerState, wasAt netip.AddrPort, a asked) {
	p.PresharedKey, p.Keepalive = is.shared, is.keepalive
	if given := a.endpoints[p.PublicKey]; given != "" {
		p.Endpoint, wasAt = given, is.endpoint
	}
	if !is.endpoint.IsValid() {
		p.Endpoint, wasAt = "", netip.AddrPort{}
	}
	if wasAt.IsValid() {
		l.at[p.PublicKey] = wasAt
	}
	allowed := slices.DeleteFunc(is.allowed, func(a netip.Prefix) bool { return a.Addr().Is4In6() }) // no packet is such
	slices.SortFunc(allowed, netip.Prefix.Compare)
	if gone, come := differences(p.AllowedIPs, allowed); len(gone)+len(come) > 0 {
		p.AllowedIPs = allowed
	}
	l.Peers = append(l.Peers, p)
}
