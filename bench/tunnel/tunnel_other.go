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

// CompareUp returns an error that is errors.ErrUnsupported.
func CompareUp(context.Context, Config, *report.Report) error { return errSystem }

// ComparePrograms returns an error that is errors.ErrUnsupported.
func ComparePrograms(context.Context, Config, *report.Report) error { return errSystem }

// Agent returns an error that is errors.ErrUnsupported.
func Agent(io.Reader, io.Writer) error { return errSystem }
