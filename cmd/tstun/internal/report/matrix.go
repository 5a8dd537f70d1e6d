package report

import (
	"path/filepath"

	"tstun/policy"
)

// Matrix says who reaches what, as tstun policy matrix does.
type Matrix struct {
	Srcs  []string `json:"srcs"`
	Dsts  []string `json:"dsts"`
	Cells []Cell   `json:"cells"` // that are not empty, by Src and then Dst
}

// Cell is what sources may do at destinations.
type Cell struct {
	Src    int      `json:"src"` // index into Srcs
	Dst    int      `json:"dst"` // index into Dsts
	Access []string `json:"access"`
}

// matrix computes the matrix of the policy's text.
func (r *Report) matrix() {
	if r.Policy.Text == "" {
		return
	}
	p, err := r.policy()
	if err != nil {
		r.miss("policy matrix", err)
		return
	}
	m, err := policy.MatrixOf(p)
	if err != nil {
		r.miss("policy matrix", err)
		return
	}
	r.Matrix = &Matrix{Srcs: []string{}, Dsts: []string{}, Cells: []Cell{}}
	for _, s := range m.Srcs {
		r.Matrix.Srcs = append(r.Matrix.Srcs, s.String())
	}
	for _, s := range m.Dsts {
		r.Matrix.Dsts = append(r.Matrix.Dsts, s.String())
	}
	for _, c := range m.Cells {
		cell := Cell{Src: c.Src, Dst: c.Dst}
		for _, a := range c.Access {
			cell.Access = append(cell.Access, a.String())
		}
		r.Matrix.Cells = append(r.Matrix.Cells, cell)
	}
}

func (r *Report) policy() (*policy.Policy, error) {
	name := filepath.Base(r.Policy.File)
	if r.Policy.Host != "" {
		return policy.ParseFor(name, []byte(r.Policy.Text), r.Policy.Host)
	}
	return policy.Parse(name, []byte(r.Policy.Text))
}
