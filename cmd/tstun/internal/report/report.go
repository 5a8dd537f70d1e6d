package report

import (
	"time"

	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// Report is what a tunnel did from Since until Created. What could not be had is left out,
// and is in Missing.
type Report struct {
	Created    time.Time `json:"created"`
	Since      time.Time `json:"since"`
	Version    string    `json:"version"` // of the tool that made it
	Tunnel     string    `json:"tunnel"`
	Anonymized bool      `json:"anonymized,omitempty"`
	Note       string    `json:"note,omitempty"` // of the anonymization, or empty
	Summary    Summary   `json:"summary"`
	Findings   []Finding `json:"findings"` // what stands out, the worst first

	Status  *control.Status `json:"status"`
	Traffic tunnel.Traffic  `json:"traffic"`
	// Flows are the connections with the most bytes, and Refused the refused flows with
	// the most packets of the latest: maxFlows of each at most. Total is of all.
	Flows   []tunnel.Flow    `json:"flows"`
	Refused []tunnel.Flow    `json:"refused"`
	Total   tunnel.FlowTotal `json:"total"`

	Policy  tunnel.PolicyText    `json:"policy"`
	History tunnel.PolicyHistory `json:"history"`
	Matrix  *Matrix              `json:"matrix,omitempty"`
	Events  []tunnel.Event       `json:"events"` // since Since, but for refused flows
	Missing []Missing            `json:"missing,omitempty"`
}

// Missing is a part that could not be had.
type Missing struct {
	Part  string `json:"part"`
	Error string `json:"error"`
}

// Bounds of what is collected.
const (
	maxFlows = 200 // of each kind
	partTime = 30 * time.Second
)

func (r *Report) miss(part string, err error) {
	r.Missing = append(r.Missing, Missing{part, err.Error()})
}
