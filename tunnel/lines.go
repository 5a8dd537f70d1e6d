package tunnel

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tstun/key"
)

// lines are what WireGuard's cross-platform configuration protocol says to a
// device (https://www.wireguard.com/xplatform/). They hold secrets, and are
// given to nobody but the device.
type lines struct{ strings.Builder }

func (l *lines) set(key string, value any) { fmt.Fprintf(l, "%s=%v\n", key, value) }

func (l *lines) setKey(name string, raw [32]byte) { l.set(name, hex.EncodeToString(raw[:])) }

// add writes a peer that the device does not know yet. at is its endpoint, or
// the zero value.
func (l *lines) add(p *Peer, at netip.AddrPort) {
	l.setKey("public_key", p.PublicKey.Raw32())
	l.setKey("preshared_key", p.PresharedKey.Raw32())
	if at.IsValid() {
		l.set("endpoint", at)
	}
	l.set("persistent_keepalive_interval", p.Keepalive)
	for _, prefix := range p.AllowedIPs {
		l.set("allowed_ip", prefix)
	}
}

func (l *lines) remove(k key.Public) {
	l.setKey("public_key", k.Raw32())
	l.set("remove", true)
}

// change writes what makes of the peers of one state those of another, and
// nothing of those that stay as they are.
func (l *lines) change(from, to *live) {
	for i := range from.Peers {
		if k := from.Peers[i].PublicKey; to.peer(k) == nil {
			l.remove(k)
		}
	}
	for i := range to.Peers {
		p := &to.Peers[i]
		was, at := from.peer(p.PublicKey), to.at[p.PublicKey]
		switch {
		case was == nil:
			l.add(p, at)
		case was.Endpoint != "" && p.Endpoint == "": // nothing else takes it away
			l.remove(p.PublicKey)
			l.add(p, at)
		default:
			l.changePeer(was, p, from.at[p.PublicKey], at)
		}
	}
}

// changePeer writes what makes p of a peer that was in force.
func (l *lines) changePeer(was, p *Peer, wasAt, at netip.AddrPort) {
	var own lines
	if !was.PresharedKey.Equal(p.PresharedKey) {
		own.setKey("preshared_key", p.PresharedKey.Raw32())
	}
	if at.IsValid() && (was.Endpoint != p.Endpoint || wasAt != at) {
		own.set("endpoint", at)
	}
	if was.Keepalive != p.Keepalive {
		own.set("persistent_keepalive_interval", p.Keepalive)
	}
	gone, come := differences(was.AllowedIPs, p.AllowedIPs)
	for _, prefix := range gone { // from this peer alone
		own.set("allowed_ip", "-"+prefix.String())
	}
	for _, prefix := range come { // from whoever has it
		own.set("allowed_ip", prefix)
	}
	if own.Len() > 0 {
		l.setKey("public_key", p.PublicKey.Raw32())
		l.set("update_only", true)
		l.WriteString(own.String())
	}
}

// restore writes what makes the peers those of old, wherever a change to next
// stopped: all that would have changed are made anew.
func (l *lines) restore(old, next *live) {
	for i := range next.Peers {
		if k := next.Peers[i].PublicKey; old.peer(k) == nil {
			l.remove(k)
		}
	}
	for i := range old.Peers {
		p := &old.Peers[i]
		var changed lines
		now := next.peer(p.PublicKey)
		if now != nil {
			changed.changePeer(p, now, old.at[p.PublicKey], next.at[p.PublicKey])
		}
		if now == nil || changed.Len() > 0 || p.Endpoint != now.Endpoint {
			l.remove(p.PublicKey)
			l.add(p, old.at[p.PublicKey])
		}
	}
}

// differences returns what is in the first list alone, and in the second.
func differences[T comparable](was, is []T) (gone, come []T) {
	without := func(all, some []T) []T {
		return slices.DeleteFunc(slices.Clone(all), func(v T) bool { return slices.Contains(some, v) })
	}
	return without(was, is), without(is, was)
}
