package tunnel

import (
	"slices"
	"strings"
	"time"

	"tstun/filter"
)

// keptChanges is how many changes of the policy are remembered, and keptRefusal how many
// bytes of why one was refused.
const keptChanges, keptRefusal = 64, 4 << 10

// PolicyChangeKind is what became of a policy.
type PolicyChangeKind string

const (
	// PolicyChangeLoaded: it came into force from its file, or none did.
	PolicyChangeLoaded PolicyChangeKind = "loaded"
	// PolicyChangeTried: it came into force for a time, as TryPolicy says.
	PolicyChangeTried PolicyChangeKind = "tried"
	// PolicyChangeConfirmed: what was tried stays in force, since its file has it.
	PolicyChangeConfirmed PolicyChangeKind = "confirmed"
	// PolicyChangeRolledBack: what was in force before a trial is so again.
	PolicyChangeRolledBack PolicyChangeKind = "rolled-back"
	// PolicyChangeRefused: it is wrong, or its tests do not hold. What was in force stayed.
	PolicyChangeRefused PolicyChangeKind = "refused"
)

// PolicyChange is something that became of a policy.
type PolicyChange struct {
	Kind PolicyChangeKind `json:"kind"`
	Time time.Time        `json:"time"`
	// File is the policy's file, or empty: without a policy, all that the allowed IPs
	// admit is accepted.
	File string `json:"file,omitempty"`
	// Hash is the SHA-256 of its text in hexadecimal, or empty if it could not be read.
	Hash string `json:"hash,omitempty"`
	// Serial tells the filters of this process apart, as in captures and records. It is 0
	// of what was refused.
	Serial uint32 `json:"serial,omitempty"`
	// Rules is how many rules it has.
	Rules int `json:"rules,omitempty"`
	// Until is how long it is tried, of one that is.
	Until time.Time `json:"until,omitzero"`
	// Text says why it was refused or rolled back: the first 4 KiB of that.
	Text string `json:"text,omitempty"`
}

// PolicyHistory is what became of policies since Start.
type PolicyHistory struct {
	Changes []PolicyChange `json:"changes"` // the latest 64, the oldest first
	// Lost is how many there were before those.
	Lost int `json:"lost,omitempty"`
}

// PolicyHistory returns what became of policies since Start. The caller owns it. Without
// a policy it is empty.
func (t *Tunnel) PolicyHistory() PolicyHistory {
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	return PolicyHistory{append([]PolicyChange{}, t.policyHistory.Changes...), t.policyHistory.Lost}
}

// noteInForceLocked notes that l is in force by the filter f.
func (t *Tunnel) noteInForceLocked(change PolicyChange, l loadedPolicy, f *filter.Filter) {
	if l.policy == nil && len(t.policyHistory.Changes) == 0 { // there was none, and is none
		return
	}
	change.Serial = f.Serial()
	if l.policy != nil {
		change.File, change.Hash, change.Rules = l.name, l.hash, len(l.policy.Config().Matches)
	}
	t.policyHistory.add(change)
}

// noteRefusalLocked notes that l was refused.
func (t *Tunnel) noteRefusalLocked(l loadedPolicy, err error) {
	change := PolicyChange{Kind: PolicyChangeRefused, File: l.name, Text: err.Error()}
	if l.data != nil {
		change.Hash = l.hash
	}
	if len(change.Text) > keptRefusal {
		change.Text = strings.ToValidUTF8(change.Text[:keptRefusal], "") + "..."
	}
	t.policyHistory.add(change)
}

func (h *PolicyHistory) add(c PolicyChange) {
	c.Time = time.Now()
	if len(h.Changes) == keptChanges {
		h.Changes = slices.Delete(h.Changes, 0, 1)
		h.Lost++
	}
	h.Changes = append(h.Changes, c)
}
