// Package report holds what a comparison measured, computes medians and
// ratios from it, and writes it as text and as JSON.
package report

import "time"

// Better says which way a figure is good.
type Better string

// The ways a figure can be good. Neither is for figures that explain others,
// such as what was sent.
const (
	More    Better = "more"
	Less    Better = "less"
	Neither Better = ""
)

// The parts of a comparison.
const (
	Packet  = "packet"
	Tunnel  = "tunnel"
	Command = "command" // what the command does that no other part has
)

// Series is one quantity of one candidate, measured once per round. The rounds
// of different candidates were made in turn, so equal indices belong together.
type Series struct {
	Part     string    `json:"part"`     // Packet, Tunnel or Command
	Measure  string    `json:"measure"`  // what was done
	Quantity string    `json:"quantity"` // what was measured while it was done
	Kind     string    `json:"kind"`     // who did it
	Unit     string    `json:"unit"`
	Better   Better    `json:"better,omitempty"`
	Rounds   []float64 `json:"rounds"` // raw, in the order they were made
}

// Report is a whole comparison.
type Report struct {
	Time       time.Time         `json:"time"` // when it was finished
	Complete   bool              `json:"complete"`
	Machine    Machine           `json:"machine"`
	Versions   map[string]string `json:"versions"` // by module
	Settings   map[string]string `json:"settings"` // by flag
	Notes      []string          `json:"notes,omitempty"`
	Series     []*Series         `json:"series"`
	seriesByID map[seriesID]*Series
}

type seriesID struct{ part, measure, quantity, kind string }

func (s *Series) id() seriesID { return seriesID{s.Part, s.Measure, s.Quantity, s.Kind} }

// Add appends value to the series that like describes, which it makes if it
// is new. Rounds of like is not used.
func (r *Report) Add(like Series, value float64) {
	s := r.Find(like.Part, like.Measure, like.Quantity, like.Kind)
	if s == nil {
		like.Rounds = nil
		s = &like
		r.Series = append(r.Series, s)
		r.seriesByID[s.id()] = s
	}
	s.Rounds = append(s.Rounds, value)
}

// Find returns the series, or nil if there is none.
func (r *Report) Find(part, measure, quantity, kind string) *Series {
	if r.seriesByID == nil {
		r.seriesByID = make(map[seriesID]*Series, len(r.Series))
		for _, s := range r.Series {
			r.seriesByID[s.id()] = s
		}
	}
	return r.seriesByID[seriesID{part, measure, quantity, kind}]
}

// Note adds a remark for the reader, once.
func (r *Report) Note(text string) {
	for _, have := range r.Notes {
		if have == text {
			return
		}
	}
	r.Notes = append(r.Notes, text)
}

// Measures returns the names of a part's measures in the order of their first
// figures.
func (r *Report) Measures(part string) []string {
	return r.distinct(func(s *Series) (string, bool) { return s.Measure, s.Part == part })
}

// Kinds returns who took part in a part, in the order of their first figures.
func (r *Report) Kinds(part string) []string {
	return r.distinct(func(s *Series) (string, bool) { return s.Kind, s.Part == part })
}

// Quantities returns what was measured in one measure, in the order of their
// first figures: those that can be good before those that explain them.
func (r *Report) Quantities(part, measure string) []string {
	graded := func(yes bool) []string {
		return r.distinct(func(s *Series) (string, bool) {
			return s.Quantity, s.Part == part && s.Measure == measure && (s.Better != Neither) == yes
		})
	}
	return append(graded(true), graded(false)...)
}

func (r *Report) distinct(field func(*Series) (string, bool)) []string {
	var out []string
	seen := make(map[string]bool)
	for _, s := range r.Series {
		if v, ok := field(s); ok && !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}
