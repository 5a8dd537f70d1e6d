package attack_test

// difference is one that is intended.
type difference struct {
	name, why string
	applies   func(s *step) bool
	// parts: the state of the flow differs from then on.
	parts bool
}

var differences = []difference{}

func differenceOf(s *step) *difference {
	for i := range differences {
		if differences[i].applies(s) {
			return &differences[i]
		}
	}
	return nil
}
