package tunqueue

import "fmt"

// LostError says which packets of a Write were not written. All others were.
type LostError struct {
	Lost []int // indices in bufs, ascending
	Err  error // the first failure
}

func (e *LostError) Error() string {
	return fmt.Sprintf("write: %d packets lost: %v", len(e.Lost), e.Err)
}

// Unwrap returns the system's error.
func (e *LostError) Unwrap() error { return e.Err }
