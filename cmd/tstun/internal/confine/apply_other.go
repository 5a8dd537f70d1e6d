//go:build !linux

package confine

import "runtime"

func apply(*Config) (Report, error) {
	return Report{Why: "landlock and capabilities are Linux's, and this is " + runtime.GOOS}, nil
}
