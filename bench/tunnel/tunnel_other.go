//go:build !linux

package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tstun/bench/report"
)

var errSystem = fmt.Errorf("tunnels are compared on Linux alone: %w", errors.ErrUnsupported)

// Compare returns an error that is errors.ErrUnsupported.
func Compare(context.Context, Config, *report.Report) error { return errSystem }

// CompareCommand returns an error that is errors.ErrUnsupported.
func CompareCommand(context.Context, Config, *report.Report) error { return errSystem }

// Agent returns an error that is errors.ErrUnsupported.
func Agent(io.Reader, io.Writer) error { return errSystem }
