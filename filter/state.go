package filter

// State holds open flows.
type State struct{}
