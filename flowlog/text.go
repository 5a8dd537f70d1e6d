package flowlog

import (
	"context"

	"tstun/logger"
)

// Text writes each record that match wants to logf, one line each, until ctx ends or the
// Log is closed, and returns why. With nil, match wants all. logf may take its time: lines
// that it has none for are lost, and the next line says how many.
func (l *Log) Text(ctx context.Context, logf logger.Logf, match func(*Record) bool) error {
	s := l.Subscribe(Options{})
	defer s.Close()
	lost := uint64(0)
	for {
		r, err := s.Next(ctx)
		if err != nil {
			return err
		}
		if match != nil && !match(&r) {
			continue
		}
		if n := s.Lost() - lost; n > 0 {
			lost += n
			logf("flow: %v; %d records were lost before", r, n)
			continue
		}
		logf("flow: %v", r)
	}
}
