package control

import (
	"tstun/filter"
	"tstun/policy"
	"tstun/tundev"
	"tstun/tunnel"
)

// Status is the answer to GET /v1/status.
type Status struct {
	tunnel.Status
	PID int `json:"pid"` // of the process that runs the tunnel
}

// Ending is a line of the answer to POST /v1/down: the first when the tunnel
// begins to end, the second when all is undone.
type Ending struct {
	State EndState `json:"state"`
	PID   int      `json:"pid"` // of the process that runs the tunnel
	// Error says what could not be undone, or is empty.
	Error string `json:"error,omitempty"`
}

// EndState is how far the end of a tunnel is.
type EndState string

const (
	// StateEnding: the tunnel was told to end.
	StateEnding EndState = "ending"
	// StateEnded: all that can be undone is.
	StateEnded EndState = "ended"
)

// Diagnosis is the answer to GET /v1/diagnose.
type Diagnosis struct {
	Findings []tundev.Finding `json:"findings"` // empty, not null, if there are none
}

// Explained is the answer to GET /v1/explain.
type Explained struct {
	policy.Flow
	Direction filter.Direction `json:"direction"`
	Response  filter.Response  `json:"response"`
	Stage     filter.Stage     `json:"stage"`
	Reason    filter.Reason    `json:"reason,omitzero"`    // of a drop
	Answered  *bool            `json:"answered,omitempty"` // of an outbound flow
	Rule      *int             `json:"rule,omitempty"`     // index of the rule that allows the flow
	Text      string           `json:"text"`
	// Nearest tells of the rule that comes nearest, if none allows the flow.
	// NearestRule is its index. Lacks are the parts of the flow that do not match
	// it; none, if it excepts the destination.
	Nearest     string   `json:"nearest,omitempty"`
	NearestRule *int     `json:"nearestRule,omitempty"`
	Lacks       []string `json:"lacks,omitempty"`
}

// explained returns what e says of the flow f.
func explained(d filter.Direction, f policy.Flow, e filter.Explanation) Explained {
	x := Explained{Flow: f, Direction: d, Response: e.Response, Stage: e.Stage, Reason: e.Reason, Text: e.Text, Nearest: e.Nearest.String()}
	if d == filter.Outbound {
		x.Answered = &e.Answered
	}
	if e.Rule >= 0 {
		x.Rule = &e.Rule
	}
	if n := e.Nearest; !n.IsZero() {
		x.NearestRule, x.Lacks = &n.Rule, n.Lacks.Names()
	}
	return x
}

// Error is the answer to a request that failed.
type Error struct {
	Message string `json:"error"`
	Hint    string `json:"hint,omitempty"` // the next step, or empty if none is known
	// Code is the HTTP status.
	Code int `json:"-"`
}

func (e *Error) Error() string { return e.Message }
