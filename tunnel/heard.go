package tunnel

import (
	"fmt"
	"sync/atomic"

	"tstun/tundev"
)

// heard counts what WireGuard says of messages that it refuses: nothing else
// tells of them. The zero value has heard nothing.
type heard [len(refusals)]atomic.Uint64

// refusal is a line that wireguard-go logs when it drops a message, and what it
// means.
type refusal struct {
	format              string // wireguard-go's
	code, cause, advice string
	evidence            string
}

var refusals = [...]refusal{
	{
		format: "Received packet with invalid mac1", code: "wrong-own-key",
		cause:    "somebody reaches this port who has another public key for this side",
		advice:   "give the other side the public key that tstun status shows",
		evidence: "messages with a mac1 that is not for this side's public key (WireGuard paper §5.4.4)",
	},
	{
		format: "Received invalid initiation message from %s", code: "unknown-peer",
		cause:    "a handshake came that is of no peer, or is not newer than the last one of its peer",
		advice:   "add the public key of that side as a peer; if it is there, see that the clock of that side was not set back",
		evidence: "initiations that were refused",
	},
	{
		format: "%v - ConsumeMessageInitiation: handshake replay @ %v", code: "clock-set-back",
		cause:    "a peer sends handshakes that are not newer than its last",
		advice:   "set that side's clock, or start this tunnel again, which forgets the last handshake",
		evidence: "initiations with an old timestamp (WireGuard paper §5.1)",
	},
	{
		format: "Received invalid response message from %s", code: "preshared-key",
		cause:    "an answer to a handshake cannot be read",
		advice:   "compare the PresharedKey of both sides: it must be the same, or absent on both",
		evidence: "responses that were refused",
	},
	{
		format: "IPv4 packet with disallowed source address from %v", code: "disallowed-source",
		cause:    "a peer sends from IPv4 addresses that are not in its AllowedIPs",
		advice:   "add the address of that side's interface to its AllowedIPs here",
		evidence: "packets that were dropped",
	},
	{
		format: "IPv6 packet with disallowed source address from %v", code: "disallowed-source",
		cause:    "a peer sends from IPv6 addresses that are not in its AllowedIPs",
		advice:   "add the address of that side's interface to its AllowedIPs here",
		evidence: "packets that were dropped",
	},
}

// note is a Verbosef of wireguard-go's Logger. It formats nothing.
func (h *heard) note(format string, _ ...any) {
	for i := range refusals {
		if refusals[i].format == format {
			h[i].Add(1)
			return
		}
	}
}

func (h *heard) findings() (found []tundev.Finding) {
	for i := range refusals {
		r := &refusals[i]
		if n := h[i].Load(); n > 0 {
			found = append(found, tundev.Finding{Code: r.code, Cause: r.cause, Advice: r.advice, Evidence: fmt.Sprintf("%d since the start: %s", n, r.evidence)})
		}
	}
	return found
}

// evidence returns what was counted of a code, or nothing if that is 0.
func (h *heard) evidence(code string) string {
	for _, f := range h.findings() {
		if f.Code == code {
			return f.Evidence
		}
	}
	return ""
}
