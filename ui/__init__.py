"""HTTP and studies to a web page. Imports neither torch nor ray."""
