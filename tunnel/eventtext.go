package tunnel

import (
	"fmt"
	"strings"
)

// String says what happened: "laptop is down: no handshake for 180 s".
func (e *Event) String() string {
	who := Peer{Name: e.PeerName, PublicKey: e.Peer}.String()
	switch e.Kind {
	case PeerUp:
		return fmt.Sprintf("%s is up at %v", who, e.Endpoint)
	case PeerMoved:
		if e.Before.IsValid() {
			return fmt.Sprintf("%s is at %v now, was at %v", who, e.Endpoint, e.Before)
		}
		return fmt.Sprintf("%s is at %v now", who, e.Endpoint)
	case PeerDown:
		return who + " is down: no handshake for 180 s"
	case PolicyLoaded:
		return e.Text + " is in force"
	case PeerAdded, PeerRemoved:
		return who
	case LookupFailed:
		return who + ": " + e.Text
	case RoutesChanged, DNSChanged:
		if e.PeerName != "" || !e.Peer.IsZero() {
			return who + ": " + e.changes()
		}
		return e.changes()
	}
	switch {
	case e.Kind != FlowFirstRefused || e.Untold == 0:
		return e.Text
	case e.Untold == 1:
		return e.Text + " (and 1 other flow before it)"
	}
	return fmt.Sprintf("%s (and %d other flows before it)", e.Text, e.Untold)
}

// shownChanges is how many values that came or went the text of an event tells.
const shownChanges = 8

// changes says what came and what went.
func (e *Event) changes() string {
	var parts []string
	add := func(word string, values []string) {
		if len(values) == 0 {
			return
		}
		text := strings.Join(values[:min(len(values), shownChanges)], ", ")
		if more := len(values) - shownChanges; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		parts = append(parts, word+" "+text)
	}
	add("added", e.Added)
	add("removed", e.Removed)
	if e.Text != "" {
		parts = append(parts, e.Text)
	}
	return strings.Join(parts, "; ")
}
