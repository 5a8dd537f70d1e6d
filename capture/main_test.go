package capture_test

import (
	"testing"

	"go.uber.org/goleak"

	"tstun/internal/rig/craft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Short names for what most tests use.
var host4, host6, peer4, peer6 = craft.Host4, craft.Host6, craft.Peer4, craft.Peer6
