"""The releases of the lab's application: their images, their migrations, how the next one is brought out."""
