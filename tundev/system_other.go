//go:build !unix && !windows

package tundev

import "runtime"

func thisSystem() system { return system{goos: runtime.GOOS} }
