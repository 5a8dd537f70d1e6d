// The file lets Go compile a function whose body is elsewhere.
