module goecho

go 1.24
