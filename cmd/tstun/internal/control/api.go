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
	Response filter.Response `json:"response"`
	Stage    filter.Stage    `json:"stage"`
	Reason   filter.Reason   `json:"reason,omitzero"` // of a drop
	Text     string          `json:"text"`
	Nearest  string          `json:"nearest,omitempty"`
}

// Error is the answer to a request that failed.
type Error struct {
	Message string `json:"error"`
	Hint    string `json:"hint,omitempty"` // the next step, or empty if none is known
	// Code is the HTTP status.
	Code int `json:"-"`
}

func (e *Error) Error() string { return e.Message }
