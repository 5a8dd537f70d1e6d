package flowexpr

// ServiceNames returns the names of ports that are known.
func ServiceNames() []string { return keys(services) }
