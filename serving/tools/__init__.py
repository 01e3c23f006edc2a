"""What the model may call, one noun a file: thin functions over the customer's things, and the words around each write."""
