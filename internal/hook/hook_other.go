//go:build !unix

package hook

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

func run(context.Context, string, string, *liner) error {
	return fmt.Errorf("hooks on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
