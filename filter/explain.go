package filter

// Stage is the step of the judgement that decided.
type Stage uint8

// Explanation is a verdict with its grounds.
type Explanation struct {
	Response Response
	Reason   Reason
	Stage    Stage
	Rule     int
	Text     string
	Nearest  string
}

// String says it in words.
func (e Explanation) String() string { return e.Text }
