package control

// Routes returns the method and the path of all endpoints.
func Routes() (all [][2]string) {
	for _, r := range routes() {
		all = append(all, [2]string{r.method, r.path})
	}
	return all
}

var AppendFlow = appendFlow

var AppendSeen = appendSeen
