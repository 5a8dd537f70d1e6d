package tstun_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"tstun"
	"tstun/tundev"
)

// TestDiagnoseLogsEachFinding: what tundev finds out is in the log whole, with
// the device's name.
func TestDiagnoseLogsEachFinding(t *testing.T) {
	for _, err := range []error{syscall.EPERM, syscall.EBUSY, os.ErrNotExist, fmt.Errorf("write: %w", syscall.EIO), errors.New("unheard of")} {
		var lines []string
		tstun.Diagnose(func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }, "tun7", err)
		findings := tundev.Diagnose("tun7", err)
		if len(lines) != len(findings) || len(lines) == 0 {
			t.Errorf("%v: %d lines for %d findings", err, len(lines), len(findings))
			continue
		}
		for i, f := range findings {
			for _, part := range []string{"tun7", f.Code, f.Cause, f.Advice} {
				if !strings.Contains(lines[i], part) {
					t.Errorf("%v: %q lacks %q", err, lines[i], part)
				}
			}
		}
	}
	if len(tundev.Diagnose("tun7", syscall.EIO)) == 0 {
		t.Error("nothing is found out about a link that is down")
	}
	tstun.Diagnose(nil, "tun7", syscall.EPERM) // nobody listens
}

// TestNewSaysWhatFailed: device and cause, whether for a name that cannot be
// or for the lack of rights.
func TestNewSaysWhatFailed(t *testing.T) {
	dev, name, err := tstun.New(nil, "a name that cannot be")
	if err == nil || dev != nil || name != "" || !strings.HasPrefix(err.Error(), "tstun: ") || !strings.Contains(err.Error(), "a name that cannot be") {
		t.Errorf("New = %v, %q, %v; want an error that names the device", dev, name, err)
	}
}
