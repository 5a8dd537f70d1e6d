package report

import (
	"encoding/json"
	"fmt"

	"tstun/cmd/tstun/internal/bundle"
)

// cleaned returns the report without secrets, and if it is asked for with other addresses,
// names, paths and public keys, as in a bundle: its document is one part, the policy's
// text another.
func (r *Report) cleaned(anonymize bool) (*Report, error) {
	text := []byte(r.Policy.Text)
	r.Policy.Text = ""
	data, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	parts := []bundle.Part{{Path: "report.json", Data: data}}
	if len(text) > 0 {
		parts = append(parts, bundle.Part{Path: bundle.PolicyPath, Data: text})
	}
	bundle.HideSecrets(parts)
	m := bundle.Manifest{Tunnel: r.Tunnel}
	if anonymize {
		bundle.Anonymize(&m, parts)
	}
	var c Report
	if err := json.Unmarshal(parts[0].Data, &c); err != nil {
		return nil, fmt.Errorf("read what was anonymized: %w", err)
	}
	c.Anonymized, c.Note = m.Anonymized, m.Note
	if len(parts) > 1 && parts[1].Err != nil {
		c.miss("policy's text and matrix", parts[1].Err)
	} else if len(parts) > 1 {
		c.Policy.Text = string(parts[1].Data)
	}
	return &c, nil
}
