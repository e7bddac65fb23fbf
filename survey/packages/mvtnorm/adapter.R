# mvtnorm at the gate: the protocol of docs/protocol.md in R.
suppressPackageStartupMessages({ library(mvtnorm); library(jsonlite) })

read_npy <- function(path) {
  file <- file(path, "rb")
  on.exit(close(file))
  magic <- readBin(file, "raw", 8)
  bytes <- if (as.integer(magic[7]) == 1L) 2L else 4L
  length <- readBin(file, "integer", 1, size = bytes, endian = "little", signed = bytes == 4L)
  header <- rawToChar(readBin(file, "raw", length))
  shape <- as.integer(strsplit(gsub("[^0-9,]", "", sub(".*'shape': \\(([^)]*)\\).*", "\\1", header)), ",")[[1]])
  kind <- sub(".*'descr': '([^']*)'.*", "\\1", header)
  size <- as.integer(substring(kind, 3))
  what <- if (substring(kind, 2, 2) == "f") "double" else "integer"
  values <- readBin(file, what, prod(shape), size = size, endian = "little")
  if (length(shape) == 2) matrix(values, shape[1], shape[2], byrow = !grepl("'fortran_order': True", header)) else values
}

times <- Sys.getenv("SURVEY_TIMES")
cell <- Sys.getenv("SURVEY_CELL")

answer <- function(request) {
  gram <- read_npy(request$gram)
  labels <- as.numeric(read_npy(request$labels))
  n <- length(labels)
  gram <- matrix(gram, n, n)
  if (request$link == "probit") gram <- gram + diag(n)
  covariance <- outer(labels, labels) * gram
  if (grepl("miwa", cell)) {
    if (n < 2 || n > 5) return(list(skip = paste(n, "points: Miwa's method is asked for 2 to 5")))
    # Its own error is that of its grid.
    probability <- pmvnorm(lower = rep(0, n), upper = rep(Inf, n), sigma = covariance, algorithm = Miwa(steps = 512))
    p <- as.numeric(probability)
    if (!is.finite(p)) return(list(error = paste("the probability is", p)))
    return(list(value = if (p > 0) log(p) else "-inf"))
  }
  if (n > 60) return(list(skip = paste(n, "points: the integral is asked for up to 60, in probability and not in its logarithm")))
  set.seed(request$seed %% 2147483647)
  control <- GenzBretz(maxpts = 200000, abseps = 1e-7, releps = 1e-4)
  probability <- pmvnorm(lower = rep(0, n), upper = rep(Inf, n), sigma = covariance, algorithm = control)
  p <- as.numeric(probability)
  if (!is.finite(p)) return(list(error = attr(probability, "msg")))
  if (p <= 0) return(list(value = "-inf"))
  # "error" is an absolute error at 99% confidence: 2.58 standard errors, and none where the method is deterministic.
  list(value = log(p), abs_error = 4 * attr(probability, "error") / p + 1e-9)
}

input <- file("stdin", "r")
while (length(line <- readLines(input, n = 1)) > 0) {
  request <- fromJSON(line)
  start <- proc.time()[["elapsed"]]
  reply <- tryCatch(answer(request), error = function(e) {
    said <- conditionMessage(e)
    # What the package says it cannot do is declined, not failed.
    if (grepl("cannot compute probabilities for singular problems", said)) list(skip = said) else list(error = said)
  })
  seconds <- proc.time()[["elapsed"]] - start
  kind <- if (!is.null(reply$skip)) "skip" else if (!is.null(reply$error)) "error" else "answer"
  if (nzchar(times)) cat(toJSON(list(id = request$id, seconds = seconds, kind = kind), auto_unbox = TRUE, digits = NA), "\n", file = times, append = TRUE, sep = "")
  if (is.numeric(reply$value) && !is.finite(reply$value)) reply$value <- if (identical(reply$value, -Inf)) "-inf" else NULL
  cat(toJSON(c(list(id = request$id), reply), auto_unbox = TRUE, digits = NA), "\n", sep = "")
  flush(stdout())
}
